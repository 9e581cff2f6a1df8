// The service as a whole: what it takes over, its threads, changes while they work, and its end.
#include "signing/signing_service.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "addon_error.h"
#include "service_fixture.h"

namespace tlskeep::test {
namespace {

const Bytes kHello = {0x83, 1, 0x65, 'h', 'e', 'l', 'l', 'o', 1};

using SigningServiceTest = ServiceTest;

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

std::string CodeOf(const std::function<void()>& body) {
  try {
    body();
    return "no error";
  } catch (const AddonError& error) {
    return error.code();
  }
}

TEST_F(SigningServiceTest, RefusesWhatCannotBeWaitedFor) {
  EXPECT_EQ(CodeOf([&] { service_->Adopt(UniqueFd()); }), "EBADF");
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_TRUE(IsOpen(file));
  EXPECT_EQ(CodeOf([&] { service_->Adopt(UniqueFd(file)); }), "EPERM");
  EXPECT_FALSE(IsOpen(file));
  EXPECT_EQ(CodeOf([&] { service_->Adopt(UniqueFd(file)); }), "EBADF");
  Client client = LogIn();  // goes on
  SendSign(client.peer, 1);
  ExpectSignature(client.peer, 1);
  EXPECT_TRUE(owner_.Empty());
}

TEST_F(SigningServiceTest, ClosesWhatIsNoSocket) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd writer(ends[1]);
  const ConnectionId id = service_->Adopt(UniqueFd(ends[0]));
  ASSERT_EQ(write(writer.get(), "x", 1), 1);
  const Event event = owner_.Next();
  EXPECT_EQ(event.kind, Event::Kind::kClosed);
  EXPECT_EQ(event.id, id);
}

TEST_F(SigningServiceTest, ServesAtOnceWhatHadArrivedBefore) {
  auto [peer, fd] = Peer::Make();
  peer.SendFrame(kHello);
  peer.EndSending();
  const Client client{std::move(peer), service_->Adopt(std::move(fd))};
  ExpectRequest(client, kHello);
  Of(client)->Consumed();
  ExpectEnd(client, EndReason::kEnded);
}

TEST_F(SigningServiceTest, GivesEveryConnectionANumberOfItsOwn) {
  Client first = LogIn();
  Of(first)->Destroy();
  ExpectClosed(first);
  EXPECT_EQ(service_->Find(first.id), nullptr);
  Client second = LogIn();  // on the same descriptor, as a rule
  EXPECT_NE(second.id, first.id);
  SendSign(second.peer, 1);
  ExpectSignature(second.peer, 1);
}

// The blocked signals of the threads that have the service's name.
std::vector<std::uint64_t> BlockedSignals() {
  std::vector<std::uint64_t> blocked;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::string line;
    bool ours = false;
    while (std::getline(status, line)) {
      if (line == "Name:\ttlskeep-sign") ours = true;
      if (ours && line.starts_with("SigBlk:")) blocked.push_back(std::stoull(line.substr(8), nullptr, 16));
    }
  }
  return blocked;
}

TEST_F(SigningServiceTest, LeavesSignalsToOthers) {
  std::vector<std::uint64_t> blocked;
  const auto deadline = std::chrono::steady_clock::now() + Patience();
  while (blocked.size() < 2) {  // they take their names when they start
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    blocked = BlockedSignals();
  }
  // Those that have a meaning of their own, but SIGKILL and SIGSTOP, which nobody blocks.
  constexpr std::uint64_t kBlockable = 0x7ffb'feff;
  for (const std::uint64_t mask : blocked) EXPECT_EQ(mask & kBlockable, kBlockable);
}

TEST_F(SigningServiceTest, HasNoThreadWithoutDescriptors) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  std::exception_ptr thrown;  // looked at later: the sanitizer of types takes descriptors to look at one
  try {
    SigningService(directory_, {}, 2, owner_);
  } catch (...) {
    thrown = std::current_exception();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_NE(thrown, nullptr);
  EXPECT_EQ(CodeOf([&] { std::rethrow_exception(thrown); }), "EMFILE");
}

// The owner arms a connection that a thread has just been woken for: still one thread at a time serves it.
TEST_F(SigningServiceTest, ServesInOrderWhileTheOwnerChangesThings) {
  Start(4);
  constexpr std::uint32_t kFrames = 3'000;
  Client client = LogIn();
  const auto connection = Of(client);
  std::atomic<bool> done = false;
  std::thread owner([&] {
    while (!done) {
      connection->Resume();
      connection->Consumed();
    }
  });
  std::thread sender([&] {
    Bytes all;
    for (std::uint32_t id = 0; id < kFrames; ++id) {
      const Bytes frame = Frame(EcdsaPayload(id, key_));
      all.insert(all.end(), frame.begin(), frame.end());
    }
    try {
      for (ByteView rest = all; !rest.empty();) {
        const std::size_t size = std::min<std::size_t>(rest.size(), 37);
        client.peer.Send(rest.first(size));
        rest = rest.subspan(size);
      }
    } catch (const std::runtime_error&) {
      // An answer is missing, and the test is at its end.
    }
  });
  std::uint32_t id = 0;
  try {
    while (id < kFrames && client.peer.ReadAnswer().id == id) ++id;
  } catch (const std::runtime_error& error) {
    ADD_FAILURE() << error.what();
  }
  EXPECT_EQ(id, kFrames) << "an answer is missing";
  connection->Destroy();
  done = true;
  owner.join();
  sender.join();
  ExpectClosed(client);
}

TEST_F(SigningServiceTest, PausesAndResumesUnderLoad) {
  constexpr std::uint32_t kFrames = 1'000;
  Client client = LogIn();
  const auto connection = Of(client);
  std::atomic<bool> done = false;
  std::thread owner([&] {
    while (!done) {
      connection->Pause();
      std::this_thread::yield();
      connection->Resume();
      std::this_thread::yield();
    }
  });
  std::thread sender([&] {
    for (std::uint32_t id = 0; id < kFrames; ++id) SendSign(client.peer, id);
  });
  for (std::uint32_t id = 0; id < kFrames; ++id) EXPECT_EQ(client.peer.ReadAnswer().id, id);
  done = true;
  owner.join();
  sender.join();
}

TEST_F(SigningServiceTest, StopsUnderLoad) {
  for (int round = 0; round < 5; ++round) {
    Start(4);
    std::vector<Client> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(LogIn());
    std::vector<std::thread> threads;
    std::atomic<int> answered = 0;
    for (Client& client : clients) {
      threads.emplace_back([&] {
        try {
          for (std::uint32_t id = 0;; ++id) {
            SendSign(client.peer, id);
            client.peer.ReadAnswer();
            if (++answered % 16 == 0) client.peer.SendFrame(kHello);  // which nobody takes from the owner
          }
        } catch (const std::runtime_error&) {
          // The service has closed the connection.
        }
      });
    }
    while (answered < 200 && owner_.Count() < 8) std::this_thread::yield();
    service_->Stop();
    const std::size_t told = owner_.Count();
    for (std::thread& thread : threads) thread.join();
    service_->Stop();
    for (const Client& client : clients) EXPECT_EQ(service_->Find(client.id), nullptr);
    EXPECT_EQ(owner_.Count(), told);  // no call to the owner follows
    while (!owner_.Empty()) owner_.Next();
  }
}

}  // namespace
}  // namespace tlskeep::test
