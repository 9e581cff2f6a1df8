/** The text of an nginx.conf, on ports and in a directory of the testbed's own. */

export const NGINX_PAGE = "served by nginx\n"

export interface NginxConfOptions {
  dir: string
  workers: number
  /** Variables that nginx hands down to its workers. */
  env: Readonly<Record<string, string>>
  /** Lines for the main context. */
  main: readonly string[]
}

/** @param servers - lines of the http context */
export function nginxConf(options: NginxConfOptions, servers: readonly string[]): string {
  const { dir, workers, env, main } = options
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  return [
    `pid ${dir}/nginx.pid;`,
    `error_log ${dir}/error.log notice;`,
    `worker_processes ${workers};`,
    "user www-data;",
    ...Object.keys(env).map((name) => `env ${name};`),
    ...main,
    "events { worker_connections 256; }",
    "http {",
    "  access_log off;",
    "  server_names_hash_bucket_size 128;",
    ...temporary.map((name) => `  ${name}_temp_path ${dir}/${name};`),
    ...servers.map((line) => `  ${line}`),
    "}",
    "",
  ].join("\n")
}

/** A server that sends a page over TLS and knows no sessions. */
export function serverBlock(
  { port, serverName }: { port: number; serverName: string },
  certificateLines: readonly string[],
): string[] {
  return [
    "server {",
    `  listen 127.0.0.1:${port} ssl;`,
    `  server_name ${serverName};`,
    "  ssl_protocols TLSv1.2 TLSv1.3;",
    ...certificateLines.map((line) => `  ${line}`),
    "  ssl_session_cache off;",
    "  ssl_session_tickets off;",
    `  return 200 "${NGINX_PAGE.replaceAll("\n", "\\n")}";`,
    "}",
  ]
}
