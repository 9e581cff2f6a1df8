/**
 * The configuration as the rest of the program sees it: checked, complete, and of one shape whichever
 * dialect the file was written in. Names and units are the file's.
 */

export interface Config {
  enclave: EnclaveConfig
  options: OptionsConfig
  aws: AwsConfig
  /** Absent: no metrics are served but on the agent's own socket. */
  metrics?: MetricsConfig
  tokens: readonly TokenConfig[]
  log: LogConfig
  /** What the file says that has no effect here, or another one than the file's author may expect. */
  notices: readonly ConfigNotice[]
}

export interface ConfigNotice {
  /** `file:line:column` */
  where: string
  /** One sentence for the operator. */
  text: string
}

export interface EnclaveConfig {
  image_path: string
  cpu_count: number
  /** MiB */
  memory_mib: number
  boot_timeout_ms: number
  /** A running enclave of this name is adopted. */
  name: string
  /** 96 hex digits, lower case. */
  expected_pcr0?: string
  nitro_cli_path: string
  /** With `{cid}` and `{port}`. */
  address_pattern: string
}

export interface OptionsConfig {
  service: "httpd" | "nginx"
  /** systemd unit of the web server; found where it is not configured. */
  unit?: string
  /** Commands that replace what unit and service come to. */
  test_command?: readonly string[]
  reload_command?: readonly string[]
  start_command?: readonly string[]
  /** Start the server where it does not run when its files are ready. */
  force_start: boolean
  /** How long a reload may take until the listener must present the new certificate. */
  reload_wait_ms: number
  sync_interval_secs: number
  run_dir: string
  module_path: string
  /** How the server is told of a key: by what is installed, or always so. */
  key_syntax: "auto" | "engine" | "provider"
  /** How the server is told of a PIN: by a file of its group's, or in the URI. */
  pin_delivery: "auto" | "file" | "value"
}

export interface AwsConfig {
  /** Else AWS_REGION, else the instance's, by IMDS. */
  region?: string
  /** Role of the instance, for ACM's object key; else found by IMDS and IAM. */
  role_arn?: string
}

export interface MetricsConfig {
  /** `unix:<path>` or `<loopback address>:<port>` */
  listen: string
}

export interface LogConfig {
  level: "trace" | "debug" | "info" | "warn" | "error"
  enable_timestamp: boolean
}

export interface TokenConfig {
  label: string
  /** 4 to 64 characters; made at random where absent. */
  pin?: string
  source: SourceConfig
  target: TargetConfig
  refresh_interval_secs: number
}

export type SourceConfig =
  | { kind: "Acm"; certificate_arn: string; bucket?: string; kms_key_id?: string }
  | { kind: "S3"; uri: string; kms_key_id?: string }
  | {
      kind: "FileDb"
      path: string
      /** Which entry of a file with several: its `id` or `label`. */
      id?: string
      /** PEM certificates, for entries without `cert_pem`. */
      certificate_path?: string
      kms_key_id?: string
    }

export interface TargetConfig {
  /**
   * `Conf`: AWS's target. For httpd the lines SSLCertificateFile and SSLCertificateKeyFile of an existing
   * file are rewritten in place; for nginx the file is a stanza to include. `Snippet`: the file is ours
   * alone, with both directives, to include; either service.
   */
  kind: "Conf" | "Snippet"
  path: string
  user: string
  group: string
  /** Where the server must present the certificate after a reload; not looked at where absent. */
  listener?: ListenerConfig
}

export interface ListenerConfig {
  /** `<host>:<port>`; IPv6 in brackets. */
  address: string
  /** SNI; else the certificate's first DNS name. */
  server_name?: string
}
