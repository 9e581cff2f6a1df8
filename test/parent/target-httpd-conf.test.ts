/** Apache's configuration rewritten in place: two values change, and no other byte. */
import { describe, expect, it } from "vitest"
import { rewriteHttpdConf } from "../../parent/target/httpd-conf.js"
import { refusalOf } from "./refusal.js"

const CERTIFICATE = "/run/tlskeep/certificates/httpd-776562.pem"
const KEY = "pkcs11:token=web;object=web;type=private?pin-source=file:/run/tlskeep/pins/776562.pin"

function rewrite(text: string | Buffer, certificateFile = CERTIFICATE, key = KEY) {
  return rewriteHttpdConf(Buffer.from(text), { certificateFile, key }, "/etc/httpd/ssl.conf")
}

function rewritten(text: string): string {
  return rewrite(text).content.toString()
}

describe("a line of Apache's configuration", () => {
  /** The other directive, so that the file is whole. */
  const KEY_LINE = 'SSLCertificateKeyFile "k"\n'
  const NEW_KEY_LINE = `SSLCertificateKeyFile "${KEY}"\n`

  it.each([
    ["in double quotes", 'SSLCertificateFile "/old.pem"', `SSLCertificateFile "${CERTIFICATE}"`],
    ["in single quotes", "SSLCertificateFile '/old.pem'", `SSLCertificateFile '${CERTIFICATE}'`],
    ["without quotes", "SSLCertificateFile /old.pem", `SSLCertificateFile ${CERTIFICATE}`],
    ["with an empty value", 'SSLCertificateFile ""', `SSLCertificateFile "${CERTIFICATE}"`],
    ["without a value", "SSLCertificateFile", `SSLCertificateFile "${CERTIFICATE}"`],
    [
      "of an older agent",
      `SSLCertificateFile "${CERTIFICATE}"`,
      `SSLCertificateFile "${CERTIFICATE}"`,
    ],
    ["in another case", "sslcertificatefile /o", `sslcertificatefile ${CERTIFICATE}`],
    ["indented", "  \tSSLCertificateFile\t  /o", `  \tSSLCertificateFile\t  ${CERTIFICATE}`],
    [
      "with blanks behind",
      'SSLCertificateFile "/o" \t ',
      `SSLCertificateFile "${CERTIFICATE}" \t `,
    ],
    ["with escaped quotes", 'SSLCertificateFile "/o\\"x y"', `SSLCertificateFile "${CERTIFICATE}"`],
    ["with a quote left open", 'SSLCertificateFile "/o x', `SSLCertificateFile "${CERTIFICATE}"`],
    [
      "with words too many",
      "SSLCertificateFile /o # new",
      `SSLCertificateFile ${CERTIFICATE} # new`,
    ],
    ["continued", "SSLCertificateFile \\\n  /o", `SSLCertificateFile \\\n  ${CERTIFICATE}`],
    [
      "continued in its value",
      "SSLCertificateFile /o\\\nld.pem",
      `SSLCertificateFile ${CERTIFICATE}`,
    ],
    ["continued in quotes", 'SSLCertificateFile "/o\\\nx"', `SSLCertificateFile "${CERTIFICATE}"`],
    [
      "continued to nothing",
      "SSLCertificateFile /o \\\n",
      `SSLCertificateFile ${CERTIFICATE} \\\n`,
    ],
    [
      "begun on the line before",
      "\\\nSSLCertificateFile /o",
      `\\\nSSLCertificateFile ${CERTIFICATE}`,
    ],
  ])("%s takes the new value", (_name, former, wanted) => {
    for (const end of ["\n", "\r\n"]) {
      const [old, fresh] = [former, wanted].map((text) => text.replaceAll("\n", end)) as [
        string,
        string,
      ]
      expect(rewritten(`${KEY_LINE}${old}${end}`)).toBe(`${NEW_KEY_LINE}${fresh}${end}`)
    }
    expect(rewritten(`${KEY_LINE}${former}`)).toBe(`${NEW_KEY_LINE}${wanted}`)
  })

  it.each([
    ["a comment", "# SSLCertificateFile /o"],
    ["a comment without a blank", "#SSLCertificateFile /o"],
    ["an indented comment", "   # SSLCertificateKeyFile /o"],
    ["a comment that goes on", "# see \\\nSSLCertificateFile /o"],
    ["another directive that begins so", "SSLCertificateFiles /o"],
    ["one that has it as a value", "Define SSLCertificateFile /o"],
    ["a value that goes on", "Define x \\\nSSLCertificateFile"],
    ["the chain's", "SSLCertificateChainFile /chain.pem"],
    ["those of a proxy", "SSLProxyMachineCertificateFile /o"],
    ["an inclusion", "IncludeOptional conf.d/*.conf\nInclude conf/extra/httpd-ssl.conf"],
  ])("%s stays", (_name, line) => {
    const text = `SSLCertificateFile "a"\n${line}\n\n${KEY_LINE}`
    expect(rewritten(text)).toBe(`SSLCertificateFile "${CERTIFICATE}"\n${line}\n\n${NEW_KEY_LINE}`)
  })

  it("ends with two backslashes without going on", () => {
    const text = "Define x a\\\\\nSSLCertificateFile /o\nSSLCertificateKeyFile /o\n"
    expect(rewritten(text)).toBe(
      `Define x a\\\\\nSSLCertificateFile ${CERTIFICATE}\nSSLCertificateKeyFile ${KEY}\n`,
    )
  })

  it("gets quotes where the new value needs them", () => {
    const { content } = rewrite(
      "SSLCertificateFile /o\nSSLCertificateKeyFile 'k'\n",
      "/my run/c.pem",
    )
    expect(content.toString()).toBe(
      `SSLCertificateFile "/my run/c.pem"\nSSLCertificateKeyFile '${KEY}'\n`,
    )
    const apostrophe = rewrite("SSLCertificateFile '/o'\nSSLCertificateKeyFile k\n", "/it's/c.pem")
    expect(apostrophe.content.toString()).toContain(`SSLCertificateFile "/it's/c.pem"\n`)
  })
})

describe("a file of Apache's configuration", () => {
  const FILE = [
    "# Ours since 2019 \xe4\xff, in Latin-1",
    "Listen 443 https",
    "<VirtualHost *:443>",
    "\tServerName a.example\r",
    "\tSSLCertificateFile /etc/pki/tls/certs/a.crt\r",
    "    SSLCertificateKeyFile\t'/etc/pki/tls/private/a.key'",
    "  #SSLCertificateFile /etc/pki/tls/certs/old.crt",
    '  Header set X "SSLCertificateFile /x"',
    "</VirtualHost>",
    "IncludeOptional vhosts/*.conf",
    "<VirtualHost *:443>",
    "  ServerName b.example",
    '  sslcertificatekeyfile "pkcs11:token=b;object=acm-key;type=private?pin-value=1234"',
    '  SSLCERTIFICATEFILE ""',
    "</VirtualHost>  ",
    "",
    "# no end of line",
  ].join("\n")

  it("keeps every other byte, in every virtual host", () => {
    const wanted = FILE.replace("/etc/pki/tls/certs/a.crt", CERTIFICATE)
      .replace("/etc/pki/tls/private/a.key", KEY)
      .replace("pkcs11:token=b;object=acm-key;type=private?pin-value=1234", KEY)
      .replace('SSLCERTIFICATEFILE ""', `SSLCERTIFICATEFILE "${CERTIFICATE}"`)
    const { content, namesChainFile } = rewrite(Buffer.from(FILE, "latin1"))
    expect(content.equals(Buffer.from(wanted, "latin1"))).toBe(true)
    expect(namesChainFile).toBe(false)
    expect(rewrite(content).content.equals(content)).toBe(true)
  })

  it("is told apart by a chain file, which stays", () => {
    const text = "SSLCertificateFile a\nsslCertificateChainFile c\nSSLCertificateKeyFile k\n"
    const { content, namesChainFile } = rewrite(text)
    expect(namesChainFile).toBe(true)
    expect(content.toString()).toContain("\nsslCertificateChainFile c\n")
  })

  it.each([
    ["SSLCertificateFile", "SSLCertificateKeyFile k\n# SSLCertificateFile c\n"],
    ["SSLCertificateKeyFile", "SSLCertificateFile c\nInclude key.conf\n"],
    ["SSLCertificateFile", ""],
  ])("without %s is refused, with what to add", async (name, text) => {
    const { code, message, advice } = await refusalOf(() => rewrite(text))
    expect(code).toBe("target-lines-missing")
    expect(message).toBe(`/etc/httpd/ssl.conf has no line with ${name}`)
    expect(advice).toContain('Add `SSLCertificateFile ""` and `SSLCertificateKeyFile ""`')
  })

  it("of a megabyte of continued lines is read in a moment", () => {
    const text = `Define x ${"a\\\n".repeat(300_000)}\nSSLCertificateFile c\nSSLCertificateKeyFile k\n`
    expect(rewrite(text).content.length).toBe(text.length - 2 + CERTIFICATE.length + KEY.length)
  })
})
