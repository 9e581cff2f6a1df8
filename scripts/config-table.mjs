/** Prints the README's table of configuration keys from the compiled schema: run `make dist` first. */
import { configTable } from "../dist/parent/config/describe.js"

process.stdout.write(configTable())
