// Object handles. A handle stands for one key or certificate of one token as long as the process lives:
// over renewals, reconnects and forks.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "object.h"

namespace tlskeep {

class ObjectTable {
 public:
  // The object's handle: a new one, or the one that it had before.
  CK_OBJECT_HANDLE Add(std::shared_ptr<const Object> object);
  std::shared_ptr<const Object> Find(CK_OBJECT_HANDLE handle) const;  // null if there is none

 private:
  using Identity = std::tuple<std::string, CK_OBJECT_CLASS, Bytes>;

  CK_OBJECT_HANDLE last_ = CK_INVALID_HANDLE;
  std::map<Identity, CK_OBJECT_HANDLE> handles_;
  std::map<CK_OBJECT_HANDLE, std::shared_ptr<const Object>> objects_;
};

}  // namespace tlskeep
