// Each thread signs with its share of the keys in turn; by time, a signature counts if it ends while measured.
#include "measurement.h"

#include <algorithm>
#include <cstring>
#include <latch>
#include <mutex>
#include <optional>
#include <thread>

#include "digest.h"
#include "file_key.h"
#include "process_memory.h"
#include "public_key.h"
#include "stopwatch.h"
#include "token_module.h"

namespace tlskeep::bench {
namespace {

// Keys of one process, and the signers that its threads take of them.
class Keys {
 public:
  Keys(const Options& options, ProcessResult& result) : options_(options) {
    const double before = PrivateKib();
    if (options.module.empty()) {
      file_.emplace(FileKey::FromFile(options.key_file));
    } else {
      module_.emplace(options.module);
      result.load_us = module_->load_us();
      result.initialize_us = module_->initialize_us();
      tokens_ = module_->FindKeys(options.token, options.label, options.pin);
    }
    result.keys = size();
    result.module_private_kib = std::max(0.0, PrivateKib() - before);
  }

  std::size_t size() const { return file_ ? 1 : tokens_.size(); }

  std::unique_ptr<Signer> MakeSigner(std::size_t index) const {
    if (file_) return file_->MakeSigner(options_.padding);
    return module_->MakeSigner(tokens_[index], options_.kind, options_.padding);
  }

 private:
  const Options& options_;
  std::optional<FileKey> file_;
  std::optional<TokenModule> module_;
  std::vector<TokenKey> tokens_;
};

class Worker {
 public:
  Worker(const Options& options, Stage& stage, std::uint64_t seed)
      : options_(options), stage_(stage), counter_(seed << 40), digest_(DigestBytes(options.kind, options.bits)) {
    if (!options.public_key.empty()) public_key_.emplace(PublicKey::FromFile(options.public_key));
    const auto field = static_cast<std::size_t>((options.bits + 7) / 8);
    signature_bytes_ = options.kind == KeyKind::kRsa ? field : 2 * field;
  }

  void TakeSigner(std::unique_ptr<Signer> signer) { signers_.push_back(std::move(signer)); }

  void SignOnce() {
    SignWith(*signers_.front());
    Verify();
  }

  void Run() {
    for (std::size_t at = 0; stage_.phase != Stage::kStop; at = (at + 1) % signers_.size()) {
      const bool counted = options_.count > 0 && stage_.phase == Stage::kMeasure;
      if (counted && stage_.left.fetch_sub(1) <= 0) return;
      const Stopwatch stopwatch;
      SignWith(*signers_[at]);
      // By time, what ends while measured; by number, what began then.
      if (counted || (options_.count == 0 && stage_.phase == Stage::kMeasure)) {
        latencies_.Add(stopwatch.nanoseconds());
      }
      if (options_.verify_every > 0 && counter_ % options_.verify_every == 0) Verify();
    }
  }

  const Histogram& latencies() const { return latencies_; }
  std::uint64_t verified() const { return verified_; }

 private:
  void SignWith(Signer& signer) {
    FillDigest(++counter_, digest_);
    signature_.resize(signature_bytes_);
    signer.Sign(digest_, signature_);
  }

  void Verify() {
    if (!public_key_) return;
    if (!public_key_->Verifies(digest_, signature_, options_.padding)) throw BenchError("a signature is wrong");
    ++verified_;
  }

  const Options& options_;
  Stage& stage_;
  std::uint64_t counter_;
  Bytes digest_;
  Bytes signature_;
  std::size_t signature_bytes_ = 0;
  std::optional<PublicKey> public_key_;
  std::vector<std::unique_ptr<Signer>> signers_;
  Histogram latencies_;
  std::uint64_t verified_ = 0;
};

void NoteError(ProcessResult& result, const char* what) {
  if (result.errors++ > 0) return;
  std::strncpy(result.first_error, what, sizeof result.first_error - 1);
}

}  // namespace

void RunProcess(const Options& options, unsigned process, Stage& stage, ProcessResult& result) {
  unsigned started = 0;
  try {
    std::optional<StartLine::Turn> turn(stage.start);
    const Stopwatch from_load;
    const Keys keys(options, result);
    std::latch all_ready(options.threads);
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < options.threads; ++i, ++started) {
      threads.emplace_back([&, i] {
        bool counted = false;
        try {
          Worker worker(options, stage, process * options.threads + i + 1);
          // A share of the keys for each thread; with fewer keys than threads they share them.
          for (std::size_t k = i % keys.size(); k < keys.size(); k += options.threads) {
            worker.TakeSigner(keys.MakeSigner(k));
          }
          worker.SignOnce();
          {
            const std::lock_guard lock(mutex);
            if (result.first_signature_us == 0) {
              result.first_signature_us = from_load.microseconds() - result.load_us - result.initialize_us;
            }
          }
          all_ready.count_down();
          ++stage.ready;
          counted = true;
          stage.start.Wait();
          worker.Run();
          const std::lock_guard lock(mutex);
          result.latencies.Merge(worker.latencies());
          result.verified += worker.verified();
        } catch (const std::exception& error) {
          const std::lock_guard lock(mutex);
          NoteError(result, error.what());
          if (!counted) {
            all_ready.count_down();
            ++stage.ready;
          }
        }
        ++stage.finished;
      });
    }
    all_ready.wait();
    turn.reset();
    for (std::thread& thread : threads) thread.join();
  } catch (const std::exception& error) {
    NoteError(result, error.what());
    // Nobody waits for threads that never were.
    stage.ready += options.threads - started;
    stage.finished += options.threads - started;
  }
}

}  // namespace tlskeep::bench
