/**
 * What is wrong with a text that is not YAML. The parser's own sentences quote the file, where a PIN
 * may stand: only its codes are used.
 */
import type { ErrorCode } from "yaml"

const SENTENCES: Record<ErrorCode, string> = {
  ALIAS_PROPS: "an alias (*) takes no tag and no anchor",
  BAD_ALIAS:
    "an alias (*) without an anchor, or too many; put a value that begins with * into quotes",
  BAD_COLLECTION_TYPE: "a tag does not fit what it stands at",
  BAD_DIRECTIVE: "a malformed directive (%)",
  BAD_DQ_ESCAPE: "an unknown escape in double quotes; single quotes know none",
  BAD_INDENT: "the indentation is wrong, or a bracket is not closed",
  BAD_PROP_ORDER: "a tag or an anchor stands in the wrong place",
  BAD_SCALAR_START: "a value that begins with @ or ` must be put into quotes",
  BLOCK_AS_IMPLICIT_KEY: "a second key on one line; put a value that holds a colon into quotes",
  BLOCK_IN_FLOW: "an indented collection inside { } or [ ]",
  DUPLICATE_KEY: "the key is given twice",
  IMPOSSIBLE: "it cannot be read",
  KEY_OVER_1024_CHARS: "a key of more than 1024 characters",
  MISSING_CHAR: "a quote, bracket, comma, colon or space is missing",
  MULTILINE_IMPLICIT_KEY: "a key that goes over several lines; is a colon missing?",
  MULTIPLE_ANCHORS: "two anchors for one value",
  MULTIPLE_DOCS: "a second document (---); only one is read",
  MULTIPLE_TAGS: "two tags for one value",
  NON_STRING_KEY: "a key that is no text",
  RESOURCE_EXHAUSTION: "it is nested too deeply",
  TAB_AS_INDENT: "a tab; YAML is indented by spaces",
  TAG_RESOLVE_FAILED: "an unknown tag (!); put a value that begins with ! into quotes",
  UNEXPECTED_TOKEN: "something that does not belong there; quote values with special characters",
}

/** A sentence for a parser's code that holds nothing of the file. */
export function yamlProblem(code: ErrorCode): string {
  return SENTENCES[code]
}
