/** What is told of an image: the JSON of nitro-cli's `describe-eif` with more fields, and lines for people. */
import type { X509Certificate } from "node:crypto"
import forge from "node-forge"
import type { Measurements } from "./measure.js"
import type { EifMetadata } from "./metadata.js"
import type { Eif } from "./read.js"

/** The names are nitro-cli's up to `Metadata`; the others are ours. */
export interface EifDescription {
  EifVersion: number
  Measurements: Measurements
  IsSigned: boolean
  SigningCertificate?: {
    IssuerName: Record<string, string>
    Algorithm: string
    NotBefore: string
    NotAfter: string
    Signature: string
  }
  CheckCRC: boolean
  SignatureCheck?: boolean
  ImageName?: string
  ImageVersion?: string
  Metadata?: Pick<EifMetadata, "BuildMetadata" | "DockerInfo" | "CustomMetadata">
  Architecture: Eif["architecture"]
  Cmdline: string
  Sections: { Type: string; Size: number }[]
}

/** OpenSSL's long names of a name's attributes, which nitro-cli prints. */
const LONG_NAMES: Readonly<Record<string, string>> = {
  C: "countryName",
  ST: "stateOrProvinceName",
  L: "localityName",
  O: "organizationName",
  OU: "organizationalUnitName",
  CN: "commonName",
}
const SIGNATURE_ALGORITHMS: Readonly<Record<string, string>> = {
  "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
  "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
  "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
  "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
  "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
  "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
}

export function describeEif(eif: Eif): EifDescription {
  const { signature, metadata } = eif
  return {
    EifVersion: eif.version,
    Measurements: eif.measurements,
    IsSigned: signature !== null,
    ...(signature === null
      ? {}
      : { SigningCertificate: describeCertificate(signature.content.certificate) }),
    CheckCRC: eif.isCrcRight,
    ...(signature === null ? {} : { SignatureCheck: signature.isValid }),
    ...(metadata === null
      ? {}
      : {
          ImageName: metadata.ImageName,
          ImageVersion: metadata.ImageVersion,
          Metadata: {
            BuildMetadata: metadata.BuildMetadata,
            DockerInfo: metadata.DockerInfo,
            CustomMetadata: metadata.CustomMetadata,
          },
        }),
    Architecture: eif.architecture,
    Cmdline: eif.cmdline,
    Sections: eif.sections.map(({ kind, size }) => ({ Type: kind, Size: size })),
  }
}

/** Lines for a terminal. What the image says of itself is quoted: it is anybody's text. */
export function readableDescription(description: EifDescription): string {
  const { Measurements: pcrs, SigningCertificate: certificate } = description
  const named = (name: string | undefined) => (name === undefined ? "" : JSON.stringify(name))
  return [
    `image    ${named(description.ImageName)} ${named(description.ImageVersion)}`.trimEnd(),
    `format   EIF v${description.EifVersion}, ${description.Architecture}`,
    `cmdline  ${JSON.stringify(description.Cmdline)}`,
    ...description.Sections.map(({ Type, Size }) => `section  ${Type.padEnd(9)} ${Size} bytes`),
    ...readableMeasurements(pcrs),
    `checksum ${description.CheckCRC ? "right" : "WRONG: the file is damaged"}`,
    certificate === undefined
      ? "signed   no"
      : `signed   ${description.SignatureCheck ? "yes" : "WRONGLY: the signature is not over this image"}` +
        `, by ${JSON.stringify(certificate.IssuerName.commonName ?? "")}` +
        `, ${certificate.NotBefore} to ${certificate.NotAfter}`,
  ].join("\n")
}

export function readableMeasurements({ PCR0, PCR1, PCR2, PCR8 }: Measurements): string[] {
  const pcrs = Object.entries({ PCR0, PCR1, PCR2, PCR8 })
  return pcrs.flatMap(([name, value]) => (value === undefined ? [] : [`${name}     ${value}`]))
}

function describeCertificate(
  certificate: X509Certificate,
): NonNullable<EifDescription["SigningCertificate"]> {
  return {
    IssuerName: Object.fromEntries(
      certificate.issuer
        .split("\n")
        .map((line) => line.split(/=(.*)/s))
        .map(([name = "", value = ""]) => [LONG_NAMES[name] ?? name, value]),
    ),
    ...signatureOf(certificate.raw),
    NotBefore: certificate.validFrom,
    NotAfter: certificate.validTo,
  }
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue } */
function signatureOf(der: Buffer): { Algorithm: string; Signature: string } {
  const { asn1 } = forge
  const certificate = asn1.fromDer(der.toString("latin1"), { decodeBitStrings: false } as never)
  const [, algorithm, value] = certificate.value as forge.asn1.Asn1[]
  const [oid] = (algorithm?.value ?? []) as forge.asn1.Asn1[]
  const dotted = asn1.derToOid(String(oid?.value ?? ""))
  // A BIT STRING's first byte counts unused bits.
  const signature = Buffer.from(String(value?.value ?? ""), "latin1").subarray(1)
  return {
    Algorithm: SIGNATURE_ALGORITHMS[dotted] ?? dotted,
    Signature: signature.toString("hex").toUpperCase().match(/../g)?.join(":") ?? "",
  }
}
