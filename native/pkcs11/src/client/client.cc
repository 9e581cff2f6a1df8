// Retries and the meaning of the service's refusals.
#include "client/client.h"

#include "client/backoff.h"
#include "error.h"
#include "log.h"
#include "wire/transport_error.h"

namespace tlskeep {
namespace {

// Between two lines about an enclave that cannot be reached.
constexpr std::chrono::seconds kLogPause{5};

[[noreturn]] void Refused(const StatusEntry& status) { throw Pkcs11Error(status.rv, status.name.data()); }

}  // namespace

template <typename Attempt>
auto Client::WithRetries(Deadline last_try, Deadline deadline, Attempt&& attempt) {
  Backoff backoff(canceller_, last_try);
  for (;;) {
    TryAgain failure{CKR_DEVICE_ERROR, "the enclave cannot be reached"};
    bool at_once = false;
    try {
      // Half the time: a connection whose peer has vanished without a word must leave some for a new one.
      const Deadline attempt_deadline = deadline.NoLaterThanIn(operation_time_ / 2);
      Pool::Lease lease = pool_.Checkout(attempt_deadline);
      at_once = lease.reused();
      try {
        auto result = attempt(lease.connection(), attempt_deadline);
        lease.Return();
        NoteSuccess();
        return result;
      } catch (const TryAgain&) {
        lease.Return();
        throw;
      } catch (const Pkcs11Error&) {
        // A refusal: the answer was read to its end. Five wrong PINs close the connection, which the
        // next request would find out and survive.
        lease.Return();
        throw;
      }
    } catch (const TryAgain& again) {
      failure = again;
      at_once = false;
    } catch (const TransportError& error) {
      // The enclave is likely another one now: what lies idle leads to the old one. The failure of a new
      // connection says nothing about them; the service may have as many connections as it takes.
      if (at_once) pool_.CloseAll();
      NoteFailure(error);
    }
    if (at_once && backoff.SkipOnce()) continue;
    if (!backoff.Wait()) throw Pkcs11Error(failure.rv, failure.what);
  }
}

template <typename Result, typename Attempt>
std::optional<Result> Client::Ask(Deadline deadline, bool retry, Attempt&& attempt) {
  try {
    return WithRetries(retry ? deadline : deadline.NoLaterThanIn(std::chrono::milliseconds(0)), deadline, attempt);
  } catch (const Pkcs11Error& error) {
    if (error.rv() == CKR_CRYPTOKI_NOT_INITIALIZED) throw;
    return std::nullopt;
  }
}

std::optional<std::uint64_t> Client::Generation(Deadline deadline, bool retry) {
  return Ask<std::uint64_t>(deadline, retry, [](Connection& connection, Deadline until) {
    const std::uint32_t id = connection.NextId();
    const Answer answer = connection.Exchange(id, GenerationFrame(id), until);
    if (answer.status.status != Status::kOk) throw TryAgain{answer.status.rv, answer.status.name.data()};
    return UnsignedResult(answer);
  });
}

std::optional<Listing> Client::List(Deadline deadline, bool retry) {
  return Ask<Listing>(deadline, retry, [](Connection& connection, Deadline until) {
    Listing listing{};
    for (;;) {
      const std::uint32_t id = connection.NextId();
      const Answer answer = connection.Exchange(id, ListFrame(id, listing.tokens.size()), until);
      if (answer.status.status != Status::kOk) throw TryAgain{answer.status.rv, answer.status.name.data()};
      ListPage page = ListResult(answer);
      if (!listing.tokens.empty() && page.generation != listing.generation) {
        throw TryAgain{CKR_DEVICE_ERROR, "the list changed while it was read"};
      }
      listing.generation = page.generation;
      for (ListedToken& token : page.tokens) listing.tokens.push_back(std::move(token));
      if (listing.tokens.size() == page.total) return listing;
      if (page.tokens.empty() || listing.tokens.size() > page.total) {
        throw TransportError("malformed answer: a list that does not add up");
      }
    }
  });
}

void Client::Prove(Connection& connection, CK_SLOT_ID slot, std::string_view label, const Login& login,
                   Deadline deadline) {
  const std::uint32_t id = connection.NextId();
  const Secret frame = LoginFrame(id, label, login.pin.view());
  const Answer answer = connection.Exchange(id, frame.view(), deadline);
  switch (answer.status.status) {
    case Status::kOk:
      NullResult(answer);
      connection.SetLoggedIn(slot, true);
      return;
    case Status::kBusy:
      throw TryAgain{answer.status.rv, "the enclave is busy"};
    case Status::kUnknownToken:
      // A token that was listed after this connection opened is gone from that very enclave. Seen on a
      // newer connection it means an enclave that has restarted and is not provisioned yet.
      if (connection.opened() > login.last_listed) throw TryAgain{answer.status.rv, "the token is not provisioned"};
      [[fallthrough]];
    default:
      Refused(answer.status);
  }
}

void Client::Prove(CK_SLOT_ID slot, std::string_view label, const Login& login) {
  const Deadline deadline = Deadline::In(operation_time_);
  WithRetries(deadline, deadline, [&](Connection& connection, Deadline until) {
    Prove(connection, slot, label, login, until);
    return true;
  });
}

Bytes Client::UseKey(const KeyRequest& request, const LoginSource& login_of) {
  const Deadline deadline = Deadline::In(operation_time_);
  return WithRetries(deadline, deadline, [&](Connection& connection, Deadline until) {
    for (bool relogged_in = false;; relogged_in = true) {
      if (!connection.LoggedIn(request.slot)) {
        const std::optional<Login> login = login_of(request);
        if (!login) throw Pkcs11Error(CKR_USER_NOT_LOGGED_IN, "logged out");
        try {
          Prove(connection, request.slot, request.label, *login, until);
        } catch (const Pkcs11Error& error) {
          // The token has another PIN by now: the user has to log in anew.
          if (error.rv() != CKR_PIN_INCORRECT) throw;
          throw Pkcs11Error(CKR_USER_NOT_LOGGED_IN, "the remembered PIN is no longer right");
        }
      }
      const std::uint32_t id = connection.NextId();
      const Answer answer = connection.Exchange(id, KeyFrame(id, request), until);
      switch (answer.status.status) {
        case Status::kOk:
          return BytesResult(answer);
        case Status::kBusy:
          throw TryAgain{answer.status.rv, "the enclave is busy"};
        case Status::kLoginRequired:
          // The token was provisioned anew since this connection logged in.
          connection.SetLoggedIn(request.slot, false);
          if (!relogged_in) continue;
          [[fallthrough]];
        default:
          // unknown-key is final here: the login has just shown that the token is there, without the key.
          Refused(answer.status);
      }
    }
  });
}

Bytes Client::Random(std::size_t size) {
  const Deadline deadline = Deadline::In(operation_time_);
  return WithRetries(deadline, deadline, [&](Connection& connection, Deadline until) {
    const std::uint32_t id = connection.NextId();
    const Answer answer = connection.Exchange(id, RandomFrame(id, size), until);
    if (answer.status.status == Status::kBusy) throw TryAgain{answer.status.rv, "the enclave is busy"};
    if (answer.status.status != Status::kOk) Refused(answer.status);
    Bytes random = BytesResult(answer);
    if (random.size() != size) throw TransportError("malformed answer: random bytes of a wrong length");
    return random;
  });
}

void Client::NoteFailure(const TransportError& error) noexcept {
  if (failing_) return;
  // Once an outage; and an enclave that comes and goes must not fill the log.
  const SteadyClock::duration now = SteadyClock::now().time_since_epoch();
  SteadyClock::rep last = failed_at_;
  if (last != 0 && now - SteadyClock::duration(last) < kLogPause) return;
  if (!failed_at_.compare_exchange_strong(last, now.count())) return;
  failing_ = true;
  Log(LogLevel::kWarning, "no connection to the enclave: %s", error.what());
}

void Client::NoteSuccess() noexcept {
  if (!failing_ || !failing_.exchange(false)) return;
  Log(LogLevel::kInfo, "connected to the enclave again");
}

}  // namespace tlskeep
