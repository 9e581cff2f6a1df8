/**
 * Rewrites SSLCertificateFile and SSLCertificateKeyFile in a file of Apache httpd's configuration, as
 * AWS's agent does: in that very file, in every virtual host of it, and nowhere else.
 */
import { AgentError } from "../errors.js"

export interface CertificateDirectives {
  certificateFile: string
  /** Value of SSLCertificateKeyFile. */
  key: string
}

export interface RewrittenConf {
  content: Buffer
  /** The file names a chain of its own, which has no effect beside a certificate file that has one. */
  namesChainFile: boolean
}

/** A backslash that no other precedes joins a line with the next one; comments, too. */
const LOGICAL_LINE = /(?:[^\n]*?(?<!\\)\\\r?\n)*[^\n]*(?:\n|$)/y
const DIRECTIVE =
  /^((?:[ \t]|\\\r?\n)*(SSLCertificateKeyFile|SSLCertificateFile|SSLCertificateChainFile))(?![^\s\\])/i
/** Blanks, and continuations among them. */
const BLANKS = /^(?:[ \t]|\\\r?\n)*/
/** httpd takes a quote that nothing closes as closed by the line's end. */
const WORD =
  /^(?:"(?:\\\r?\n|\\.|[^"\\\r\n])*"?|'(?:\\\r?\n|\\.|[^'\\\r\n])*'?|[^\s"'](?:\\\r?\n|\S)*)/
/** What needs no quotes. */
const PLAIN = /^[^\s"'\\#<]+$/

/**
 * Every other byte stays: comments, indentation, ends of lines, further directives. A value keeps its
 * quotes, or the lack of them where the new value can do without.
 *
 * @param path - names the file in messages
 * @throws AgentError `target-lines-missing` if either directive is not in it
 */
export function rewriteHttpdConf(
  former: Buffer,
  directives: CertificateDirectives,
  path: string,
): RewrittenConf {
  // One character a byte: a file need not be UTF-8.
  const found = new Set<string>()
  const lines = logicalLines(former.toString("latin1")).map((line) => {
    const [head = "", , name = ""] = DIRECTIVE.exec(line) ?? []
    if (name === "") return line
    found.add(name.toLowerCase())
    if (name.toLowerCase() === "sslcertificatechainfile") return line
    const value =
      name.toLowerCase() === "sslcertificatefile" ? directives.certificateFile : directives.key
    return head + withValue(line.slice(head.length), Buffer.from(value).toString("latin1"))
  })
  for (const name of ["SSLCertificateFile", "SSLCertificateKeyFile"]) {
    if (!found.has(name.toLowerCase())) throw missing(path, name)
  }
  return {
    content: Buffer.from(lines.join(""), "latin1"),
    namesChainFile: found.has("sslcertificatechainfile"),
  }
}

function logicalLines(text: string): string[] {
  const lines: string[] = []
  LOGICAL_LINE.lastIndex = 0
  while (LOGICAL_LINE.lastIndex < text.length) {
    const [line] = LOGICAL_LINE.exec(text) ?? []
    if (line === undefined) break
    lines.push(line)
  }
  return lines
}

/** The rest of a directive's line with its first word replaced. */
function withValue(rest: string, value: string): string {
  const [blanks = ""] = BLANKS.exec(rest) ?? []
  const after = rest.slice(blanks.length)
  const [word = ""] = WORD.exec(after) ?? []
  return `${blanks === "" ? " " : blanks}${quoted(value, word)}${after.slice(word.length)}`
}

function quoted(value: string, former: string): string {
  const quote = former.startsWith("'") ? "'" : '"'
  if (former !== "" && !/^["']/.test(former) && PLAIN.test(value)) return value
  return value.includes(quote) ? `"${value}"` : `${quote}${value}${quote}`
}

function missing(path: string, name: string): AgentError {
  return new AgentError("target-lines-missing", `${path} has no line with ${name}`, {
    advice: `Add \`SSLCertificateFile ""\` and \`SSLCertificateKeyFile ""\` to the virtual host there, or use the target Snippet; files that it includes are not looked at.`,
  })
}
