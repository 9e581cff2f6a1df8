// Writes the JSON by hand: numbers, and one text of our own making.
#include "report.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace tlskeep::bench {
namespace {

std::string Field(const char* name, double value) {
  char text[96];
  std::snprintf(text, sizeof text, "\"%s\":%.3f", name, value);
  return text;
}

std::string Field(const char* name, std::uint64_t value) {
  return "\"" + std::string(name) + "\":" + std::to_string(value);
}

std::string Quoted(const char* text) {
  std::string quoted = "\"";
  for (; *text != '\0'; ++text) {
    const auto c = static_cast<unsigned char>(*text);
    if (c < 0x20) continue;
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(*text);
  }
  return quoted + "\"";
}

}  // namespace

void Add(ProcessResult& sum, const ProcessResult& one) {
  sum.latencies.Merge(one.latencies);
  sum.verified += one.verified;
  if (one.errors > 0 && sum.errors == 0) std::memcpy(sum.first_error, one.first_error, sizeof sum.first_error);
  sum.errors += one.errors;
  sum.keys = std::max(sum.keys, one.keys);
  sum.load_us = std::max(sum.load_us, one.load_us);
  sum.initialize_us = std::max(sum.initialize_us, one.initialize_us);
  sum.module_private_kib = std::max(sum.module_private_kib, one.module_private_kib);
  sum.first_signature_us = std::max(sum.first_signature_us, one.first_signature_us);
}

std::string ToJson(const Options& options, const Totals& totals) {
  const Histogram& latencies = totals.sum.latencies;
  const auto operations = static_cast<double>(latencies.total());
  const auto per_operation = [&](double seconds) { return operations > 0 ? seconds * 1e6 / operations : 0; };
  std::string json = "{";
  for (const std::string& field : {
           Field("processes", std::uint64_t{options.processes}),
           Field("threads", std::uint64_t{options.threads}),
           Field("keys", totals.sum.keys),
           Field("seconds", totals.seconds),
           Field("operations", latencies.total()),
           Field("per_second", totals.seconds > 0 ? operations / totals.seconds : 0),
           Field("mean_us", latencies.mean() / 1e3),
           Field("p50_us", latencies.Quantile(0.50) / 1e3),
           Field("p95_us", latencies.Quantile(0.95) / 1e3),
           Field("p99_us", latencies.Quantile(0.99) / 1e3),
           Field("max_us", static_cast<double>(latencies.largest()) / 1e3),
           Field("cpu_own_us_per_op", per_operation(totals.cpu_own_seconds)),
           Field("cpu_others_us_per_op", per_operation(totals.cpu_others_seconds)),
           Field("load_us", totals.sum.load_us),
           Field("initialize_us", totals.sum.initialize_us),
           Field("module_private_kib", totals.sum.module_private_kib),
           Field("first_signature_us", totals.sum.first_signature_us),
           Field("verified", totals.sum.verified),
           Field("errors", totals.sum.errors),
       }) {
    json += field + ",";
  }
  return json + "\"first_error\":" + Quoted(totals.sum.first_error) + "}\n";
}

}  // namespace tlskeep::bench
