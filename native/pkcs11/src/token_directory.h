// The slots, tokens and objects of this process: what the enclave has listed, kept over its outages.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "client/client.h"
#include "object_table.h"
#include "token.h"

namespace tlskeep {

// A slot belongs to one label for good; the token in it may come and go.
struct Slot {
  std::string label;
  std::shared_ptr<const Token> token;       // null while absent
  std::vector<CK_OBJECT_HANDLE> objects;    // of the token, in its order
  SteadyClock::time_point last_listed;      // when the enclave was last known to hold the token
};

class TokenDirectory {
 public:
  TokenDirectory(Client& client, Libcrypto& libcrypto, const Canceller& canceller,
                 std::chrono::milliseconds list_deadline)
      : client_(client), libcrypto_(libcrypto), canceller_(canceller), list_deadline_(list_deadline) {}

  // Asks the enclave whether its list has changed, and for the list if so. The first call waits for an
  // enclave that is not up or holds no token yet; later ones keep what is known if it does not answer.
  void Refresh();
  // Whether Refresh has ended once, whatever came of it.
  bool refreshed() const;

  // Ids are 0 to n-1, in the order in which labels were first seen.
  std::vector<CK_SLOT_ID> SlotIds(bool token_present) const;
  Slot SlotAt(CK_SLOT_ID id) const;         // @throws Pkcs11Error CKR_SLOT_ID_INVALID
  bool Holds(CK_SLOT_ID id) const;          // whether the slot is known to have its token
  // The slot with its token. @throws Pkcs11Error CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_PRESENT
  Slot TokenAt(CK_SLOT_ID id) const;
  // When the enclave was last known to hold the slot's token. @throws Pkcs11Error CKR_SLOT_ID_INVALID
  SteadyClock::time_point LastListed(CK_SLOT_ID id) const;
  std::shared_ptr<const Object> Find(CK_OBJECT_HANDLE handle) const;
  // Null also for another slot's object.
  std::shared_ptr<const Object> Find(CK_SLOT_ID slot, CK_OBJECT_HANDLE handle) const;
  // A slot whose token has come, gone or changed since this last named it; what the first listing holds does
  // not count.
  std::optional<CK_SLOT_ID> TakeEvent();

  void LockForFork() noexcept { mutex_.lock(); }
  void UnlockInParent() noexcept { mutex_.unlock(); }
  void ResetInChild() noexcept;

 private:
  struct Entry {
    Slot slot;
    std::optional<SteadyClock::time_point> missing_since;
    bool event = false;  // for TakeEvent
  };

  std::optional<Listing> Fetch(bool first, std::optional<std::uint64_t> known_generation);
  void Publish(Listing listing);
  std::shared_ptr<const Token> ParseOrReuse(ListedToken listed, const std::vector<std::shared_ptr<const Token>>& known);

  Client& client_;
  Libcrypto& libcrypto_;
  const Canceller& canceller_;
  const std::chrono::milliseconds list_deadline_;

  mutable std::mutex mutex_;
  // In its own storage: see Pool.
  std::unique_ptr<std::condition_variable> refreshed_ = std::make_unique<std::condition_variable>();
  bool refreshing_ = false;
  std::uint64_t refreshes_begun_ = 0;
  std::optional<std::uint64_t> generation_;  // none before the first listing
  bool waited_ = false;                      // the first refresh is over, whatever its outcome
  std::optional<SteadyClock::time_point> failed_at_;
  std::vector<Entry> entries_;
  ObjectTable objects_;
};

}  // namespace tlskeep
