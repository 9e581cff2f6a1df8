// Reads `--name value` pairs; the PIN comes from a file or the environment, never from the command line.
#include "options.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>

namespace tlskeep::bench {
namespace {

template <typename Number>
Number Parse(const std::string& name, const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) throw BenchError(name + " takes a number");
  return value;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw BenchError("cannot read " + path);
  return line;
}

std::string Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) throw BenchError(name + " is not set");
  return value;
}

void SetKey(Options& options, const std::string& text) {
  static const std::map<std::string, std::pair<KeyKind, int>> kKeys = {
      {"RSA-2048", {KeyKind::kRsa, 2048}}, {"RSA-3072", {KeyKind::kRsa, 3072}}, {"RSA-4096", {KeyKind::kRsa, 4096}},
      {"P-256", {KeyKind::kEc, 256}},      {"P-384", {KeyKind::kEc, 384}}};
  const auto found = kKeys.find(text);
  if (found == kKeys.end()) throw BenchError("--key-type takes RSA-2048, RSA-3072, RSA-4096, P-256 or P-384");
  std::tie(options.kind, options.bits) = found->second;
}

void CheckWhole(const Options& options) {
  if (options.module.empty() == options.key_file.empty()) throw BenchError("give exactly one of --module, --key-file");
  if (!options.module.empty() && options.token.empty()) throw BenchError("--module needs --token");
  if (options.bits == 0) throw BenchError("--key-type is missing");
  if (options.threads < 1 || options.processes < 1) throw BenchError("there must be a thread and a process");
}

}  // namespace

const char* const kUsage =
    "tlskeep-sign-load (--module FILE --token LABEL[*] [--label CKA_LABEL] (--pin-file FILE | --pin-env NAME)\n"
    "                  | --key-file PEM) --key-type TYPE [--public-key PEM] [--padding default|pss]\n"
    "                  [--threads N] [--processes N] [--seconds S | --count N] [--warmup S]\n"
    "                  [--verify-every N] [--cpu-of PID]...\n";

Options ParseOptions(int argc, char** argv) {
  Options options;
  using Setter = std::function<void(const std::string&)>;
  const std::map<std::string, Setter> setters = {
      {"--module", [&](const std::string& text) { options.module = text; }},
      {"--key-file", [&](const std::string& text) { options.key_file = text; }},
      {"--token", [&](const std::string& text) { options.token = text; }},
      {"--label", [&](const std::string& text) { options.label = text; }},
      {"--pin-file", [&](const std::string& text) { options.pin = FirstLine(text); }},
      {"--pin-env", [&](const std::string& text) { options.pin = Environment(text); }},
      {"--public-key", [&](const std::string& text) { options.public_key = text; }},
      {"--key-type", [&](const std::string& text) { SetKey(options, text); }},
      {"--padding",
       [&](const std::string& text) {
         if (text != "default" && text != "pss") throw BenchError("--padding takes default or pss");
         options.padding = text == "pss" ? Padding::kPss : Padding::kDefault;
       }},
      {"--threads", [&](const std::string& text) { options.threads = Parse<unsigned>("--threads", text); }},
      {"--processes", [&](const std::string& text) { options.processes = Parse<unsigned>("--processes", text); }},
      {"--seconds", [&](const std::string& text) { options.seconds = Parse<double>("--seconds", text); }},
      {"--count", [&](const std::string& text) { options.count = Parse<std::uint64_t>("--count", text); }},
      {"--warmup", [&](const std::string& text) { options.warmup_seconds = Parse<double>("--warmup", text); }},
      {"--verify-every",
       [&](const std::string& text) { options.verify_every = Parse<std::uint64_t>("--verify-every", text); }},
      {"--cpu-of", [&](const std::string& text) { options.cpu_of.push_back(Parse<pid_t>("--cpu-of", text)); }},
  };
  for (int i = 1; i < argc; i += 2) {
    const auto setter = setters.find(argv[i]);
    if (setter == setters.end()) throw BenchError(std::string("unknown argument ") + argv[i]);
    if (i + 1 == argc) throw BenchError(std::string(argv[i]) + " needs a value");
    setter->second(argv[i + 1]);
  }
  CheckWhole(options);
  return options;
}

}  // namespace tlskeep::bench
