// Many clients at once while keys come and go. TLSKEEP_TEST_LONG=1 runs the full counts.
#include <atomic>
#include <cstdlib>
#include <thread>

#include "service_fixture.h"

namespace tlskeep::test {
namespace {

constexpr int kClients = 16;
constexpr std::uint64_t kRefused = 7;  // unknown-key

std::uint32_t RequestsPerClient() {
  const char* value = std::getenv("TLSKEEP_TEST_LONG");
  return value != nullptr && *value == '1' ? 10'000 : 400;
}

Bytes Refusal(ByteView request) {
  // The id is the second item of the array; its encoding goes back as it came.
  static constexpr std::size_t kBytes[] = {1, 2, 3, 5};
  const std::size_t size = kBytes[request[1] < 24 ? 0 : request[1] - 23];
  Bytes answer = {0x82};
  answer.insert(answer.end(), request.begin() + 1, request.begin() + 1 + static_cast<std::ptrdiff_t>(size));
  answer.push_back(kRefused);
  return answer;
}

// Answers from a thread of its own, as the event loop does: nothing is admitted there.
class RefusingOwner {
 public:
  RefusingOwner(RecordingOwner& events, SigningService& service)
      : events_(events), service_(service), thread_([this] { Run(); }) {}
  ~RefusingOwner() { thread_.join(); }

  int refused() const { return refused_; }

 private:
  // Until every client's connection is closed.
  void Run() {
    for (int left = kClients; left > 0;) {
      const Event event = events_.Next();
      const auto connection = service_.Find(event.id);
      switch (event.kind) {
        case Event::Kind::kRequest:
          ++refused_;
          connection->Send(Refusal(event.payload));
          connection->Consumed();
          break;
        case Event::Kind::kEnd:
          connection->Close();
          break;
        case Event::Kind::kClosed:
          service_.Forget(event.id);
          --left;
          break;
      }
    }
  }

  RecordingOwner& events_;
  SigningService& service_;
  std::atomic<int> refused_ = 0;
  std::thread thread_;
};

struct Tally {
  std::atomic<int> signatures = 0;
  std::atomic<int> signed_while_published = 0;
  std::atomic<int> refused_while_withdrawn = 0;
};

// Publishes and withdraws in turn. A client reads the number of the turn before it asks and behind the answer:
// within one turn, the answer is certain.
class ComingAndGoing {
 public:
  ComingAndGoing(KeyDirectory& directory, const TestKey& key) : directory_(directory), key_(key) {}

  bool Certain(std::uint64_t before) const { return before % 2 == 0 && turn_ == before; }
  static bool Published(std::uint64_t turn) { return turn % 4 == 0; }
  std::uint64_t turn() const { return turn_; }

  // As long as there are clients. The first turn of each kind lasts until it has had its certain answer.
  void Run(const std::atomic<int>& clients_left, const Tally& tally) {
    const auto wait = [&](std::chrono::microseconds time, const std::atomic<int>& answers) {
      do {
        std::this_thread::sleep_for(time);
      } while (answers == 0 && clients_left > 0);
    };
    while (clients_left > 0) {
      ++turn_;
      directory_.Withdraw(kToken);
      ++turn_;
      wait(std::chrono::microseconds(300), tally.refused_while_withdrawn);
      ++turn_;
      directory_.Publish(kToken, kGate, kFarMs, {EntryFor(key_)});
      ++turn_;
      wait(std::chrono::microseconds(700), tally.signed_while_published);
    }
  }

 private:
  KeyDirectory& directory_;
  const TestKey& key_;
  // 4n: published; 4n + 2: withdrawn; odd: about to be.
  std::atomic<std::uint64_t> turn_ = 0;
};

class SigningLoadTest : public ServiceTest, public testing::WithParamInterface<unsigned> {
 protected:
  void Ask(Peer& peer, std::uint32_t id, const ComingAndGoing& keys, Tally& tally) const {
    const std::uint64_t turn = keys.turn();
    SendSign(peer, id);
    const Answer answer = peer.ReadAnswer();
    const bool certain = keys.Certain(turn);
    ASSERT_EQ(answer.id, id);
    if (answer.status == 0) {
      ++tally.signatures;
      ASSERT_TRUE(VerifyEcdsa(key_.pair, EcdsaData(id), answer.signature)) << id;
      if (!certain) return;
      ASSERT_TRUE(ComingAndGoing::Published(turn)) << "signed with a key that had been withdrawn";
      ++tally.signed_while_published;
    } else {
      ASSERT_EQ(answer.status, kRefused);
      if (!certain) return;
      ASSERT_FALSE(ComingAndGoing::Published(turn)) << "refused with a key that had been published";
      ++tally.refused_while_withdrawn;
    }
  }
};

TEST_P(SigningLoadTest, SignsForManyClientsWhatIsPublished) {
  Start(GetParam());
  ComingAndGoing keys(*directory_, key_);
  std::vector<Client> clients;
  for (int i = 0; i < kClients; ++i) clients.push_back(LogIn());
  Tally tally;
  std::uint64_t counted = 0;
  std::uint64_t in_latency = 0;
  {
    RefusingOwner owner(owner_, *service_);
    std::atomic<int> clients_left = kClients;
    std::vector<std::thread> threads;
    for (Client& client : clients) {
      threads.emplace_back([&] {
        try {
          for (std::uint32_t id = 0; id < RequestsPerClient() && !HasFailure(); ++id) {
            Ask(client.peer, id, keys, tally);
          }
        } catch (const std::runtime_error& error) {
          ADD_FAILURE() << error.what();
        }
        client.peer.HangUp();
        --clients_left;
      });
    }
    keys.Run(clients_left, tally);
    for (std::thread& thread : threads) thread.join();
  }
  counted = directory_->TakeCounts(kToken)[static_cast<std::size_t>(Mechanism::kEcdsa)];
  for (const std::uint64_t count : service_->latency().Counts()) in_latency += count;
  EXPECT_EQ(in_latency, static_cast<std::uint64_t>(tally.signatures));
  EXPECT_LE(counted, in_latency);  // those since the last publication
  EXPECT_GT(tally.signed_while_published, 0);
  EXPECT_GT(tally.refused_while_withdrawn, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, SigningLoadTest, testing::Values(2U, 8U),
                         [](const auto& given) { return "On" + std::to_string(given.param); });

}  // namespace
}  // namespace tlskeep::test
