// Refreshes the list, one thread at a time and without holding the lock while it waits.
#include "token_directory.h"

#include <algorithm>

#include "error.h"
#include "log.h"

namespace tlskeep {
namespace {

// After a failure, searches go on with what is known for this long before they try again.
constexpr std::chrono::seconds kFailurePause{1};
// How long a refresh may hold up a search when the list is known already.
constexpr std::chrono::seconds kKnownListDeadline{1};
constexpr std::chrono::milliseconds kEmptyListPause{100};

}  // namespace

void TokenDirectory::Refresh() {
  std::unique_lock lock(mutex_);
  const std::uint64_t begun = refreshes_begun_;
  while (refreshing_) {
    canceller_.Check();
    refreshed_->wait_for(lock, std::chrono::milliseconds(100));
  }
  // One that began after this call did is as good as one's own.
  if (refreshes_begun_ > begun) return;
  if (failed_at_ && SteadyClock::now() - *failed_at_ < kFailurePause) return;
  refreshing_ = true;
  ++refreshes_begun_;
  const bool first = !waited_;
  const auto known_generation = generation_;
  lock.unlock();

  bool answered = false;
  const auto end = [&] {
    lock.lock();
    refreshing_ = false;
    waited_ = true;
    failed_at_.reset();
    if (!answered) failed_at_ = SteadyClock::now();
    refreshed_->notify_all();
  };
  try {
    if (std::optional<Listing> listing = Fetch(first, known_generation)) {
      Publish(*std::move(listing));
      answered = true;
    }
  } catch (...) {
    end();
    throw;
  }
  end();
}

bool TokenDirectory::refreshed() const {
  const std::lock_guard lock(mutex_);
  return waited_;
}

std::optional<Listing> TokenDirectory::Fetch(bool first, std::optional<std::uint64_t> known_generation) {
  const Deadline deadline = Deadline::In(first ? list_deadline_ : kKnownListDeadline);
  if (known_generation) {
    const auto generation = client_.Generation(deadline, false);
    if (!generation) return std::nullopt;
    if (*generation == *known_generation) return Listing{*generation, {}};
  }
  for (;;) {
    std::optional<Listing> listing = client_.List(deadline, first);
    // Nobody runs an enclave for nothing: an empty one is about to be provisioned.
    if (!first || !listing || !listing->tokens.empty() || deadline.Passed()) return listing;
    canceller_.Sleep(std::min(kEmptyListPause, deadline.Remaining()));
  }
}

std::shared_ptr<const Token> TokenDirectory::ParseOrReuse(ListedToken listed,
                                                          const std::vector<std::shared_ptr<const Token>>& known) {
  for (const auto& token : known) {
    if (token->listed == listed) return token;
  }
  // Printable, as log lines have to be.
  std::string label = listed.label;
  std::replace_if(label.begin(), label.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  try {
    return std::make_shared<const Token>(MakeToken(libcrypto_, std::move(listed)));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    Log(LogLevel::kError, "the token \"%s\" cannot be used: %s", label.c_str(), error.what());
    return nullptr;
  }
}

void TokenDirectory::Publish(Listing listing) {
  std::vector<std::shared_ptr<const Token>> known;
  bool unchanged = false;
  {
    const std::lock_guard lock(mutex_);
    unchanged = generation_ == listing.generation;
    for (const Entry& entry : entries_) {
      if (entry.slot.token != nullptr) known.push_back(entry.slot.token);
    }
  }
  std::vector<std::shared_ptr<const Token>> tokens;
  if (!unchanged) {
    for (ListedToken& listed : listing.tokens) {
      if (auto token = ParseOrReuse(std::move(listed), known)) tokens.push_back(std::move(token));
    }
  }

  const std::lock_guard lock(mutex_);
  const auto now = SteadyClock::now();
  const bool first = !generation_;
  generation_ = listing.generation;
  for (auto& token : tokens) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.slot.label == token->listed.label;
    });
    Entry& entry = found != entries_.end() ? *found : entries_.emplace_back();
    const auto id = static_cast<CK_SLOT_ID>(&entry - entries_.data());
    entry.slot.label = token->listed.label;
    entry.slot.last_listed = now;
    entry.missing_since.reset();
    if (entry.slot.token == token) continue;
    entry.slot.objects.clear();
    for (const auto& object : token->objects) entry.slot.objects.push_back(objects_.Add(object, id));
    entry.slot.token = std::move(token);
    entry.event = !first;
  }
  for (Entry& entry : entries_) {
    if (entry.slot.token == nullptr) continue;
    if (unchanged && !entry.missing_since) entry.slot.last_listed = now;
    if (entry.slot.last_listed == now) continue;
    // An enclave that has restarted lists its tokens as they are provisioned: one that is missing is
    // kept for as long as an operation on it would be retried.
    if (!entry.missing_since) entry.missing_since = now;
    if (now - *entry.missing_since < list_deadline_) continue;
    entry.slot.token = nullptr;
    entry.slot.objects.clear();
    entry.event = true;
  }
}

std::vector<CK_SLOT_ID> TokenDirectory::SlotIds(bool token_present) const {
  const std::lock_guard lock(mutex_);
  std::vector<CK_SLOT_ID> ids;
  for (std::size_t id = 0; id < entries_.size(); ++id) {
    if (!token_present || entries_[id].slot.token != nullptr) ids.push_back(id);
  }
  return ids;
}

Slot TokenDirectory::SlotAt(CK_SLOT_ID id) const {
  const std::lock_guard lock(mutex_);
  if (id >= entries_.size()) throw Pkcs11Error(CKR_SLOT_ID_INVALID, "no such slot");
  return entries_[id].slot;
}

bool TokenDirectory::Holds(CK_SLOT_ID id) const {
  const std::lock_guard lock(mutex_);
  return id < entries_.size() && entries_[id].slot.token != nullptr;
}

Slot TokenDirectory::TokenAt(CK_SLOT_ID id) const {
  Slot slot = SlotAt(id);
  if (slot.token == nullptr) throw Pkcs11Error(CKR_TOKEN_NOT_PRESENT, "the slot is empty");
  return slot;
}

SteadyClock::time_point TokenDirectory::LastListed(CK_SLOT_ID id) const {
  const std::lock_guard lock(mutex_);
  if (id >= entries_.size()) throw Pkcs11Error(CKR_SLOT_ID_INVALID, "no such slot");
  return entries_[id].slot.last_listed;
}

std::shared_ptr<const Object> TokenDirectory::Find(CK_OBJECT_HANDLE handle) const {
  const std::lock_guard lock(mutex_);
  return objects_.Find(handle).object;
}

std::shared_ptr<const Object> TokenDirectory::Find(CK_SLOT_ID slot, CK_OBJECT_HANDLE handle) const {
  const std::lock_guard lock(mutex_);
  const ObjectTable::Entry& found = objects_.Find(handle);
  return found.slot == slot ? found.object : nullptr;
}

std::optional<CK_SLOT_ID> TokenDirectory::TakeEvent() {
  const std::lock_guard lock(mutex_);
  for (std::size_t id = 0; id < entries_.size(); ++id) {
    if (std::exchange(entries_[id].event, false)) return id;
  }
  return std::nullopt;
}

void TokenDirectory::ResetInChild() noexcept {
  refreshing_ = false;
  static_cast<void>(refreshed_.release());
  refreshed_ = std::make_unique<std::condition_variable>();
  mutex_.unlock();
}

}  // namespace tlskeep
