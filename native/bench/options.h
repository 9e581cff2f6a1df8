// The command line.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "signer.h"

namespace tlskeep::bench {

struct Options {
  // Exactly one of `module` and `key_file`.
  std::string module;
  std::string key_file;
  std::string token;                 // a label, or with `*` at its end the beginning of labels
  std::optional<std::string> label;  // CKA_LABEL
  std::string pin;
  std::string public_key;  // PEM; empty where tokens with different keys are signed with
  KeyKind kind = KeyKind::kRsa;
  int bits = 0;
  Padding padding = Padding::kDefault;
  unsigned threads = 1;    // in each process
  unsigned processes = 1;  // forked before the module is loaded
  double seconds = 1;
  double warmup_seconds = 0.2;
  std::uint64_t count = 0;         // signatures in all; instead of `seconds` unless 0
  std::uint64_t verify_every = 256;  // 0: never
  std::vector<pid_t> cpu_of;
};

extern const char* const kUsage;

// @throws BenchError that says which argument is wrong
Options ParseOptions(int argc, char** argv);

}  // namespace tlskeep::bench
