// Object handles. A handle stands for one key or certificate of one token as long as the process lives:
// over renewals, reconnects and forks.
#pragma once

#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "object.h"

namespace tlskeep {

class ObjectTable {
 public:
  struct Entry {
    std::shared_ptr<const Object> object;  // null if there is none of this handle
    CK_SLOT_ID slot;
  };

  // The handle of an object of a slot's token: a new one, or the one that it had before.
  CK_OBJECT_HANDLE Add(std::shared_ptr<const Object> object, CK_SLOT_ID slot);
  const Entry& Find(CK_OBJECT_HANDLE handle) const;

 private:
  using Identity = std::tuple<std::string, CK_OBJECT_CLASS, Bytes>;

  std::map<Identity, CK_OBJECT_HANDLE> handles_;
  std::vector<Entry> entries_ = std::vector<Entry>(1);  // by handle; the first stands for all that are not there
};

}  // namespace tlskeep
