/**
 * Loaded into every enclave process before its image: ends the process when the VMM is gone, since
 * an enclave does not outlive its VM. The VMM holds the other end of standard input.
 */
process.stdin.on("error", () => process.exit(1))
process.stdin.on("end", () => process.exit(1))
process.stdin.on("close", () => process.exit(1))
process.stdin.resume()
// The image alone decides how long its process has something to do.
if ("unref" in process.stdin && typeof process.stdin.unref === "function") process.stdin.unref()
