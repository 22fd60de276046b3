#include "claims.h"

#include <mutex>
#include <vector>

namespace podgate {
namespace {

struct Claims {
  std::mutex mutex;
  std::vector<bool> taken;  // by descriptor
};

// Never destroyed: process.exit() runs static destructors while the threads of a pump still run.
Claims& TheClaims() {
  static Claims* claims = new Claims();
  return *claims;
}

}  // namespace

bool ClaimDescriptor(int fd) {
  Claims& claims = TheClaims();
  std::lock_guard<std::mutex> lock(claims.mutex);
  size_t index = static_cast<size_t>(fd);
  if (index >= claims.taken.size()) claims.taken.resize(index + 1);
  if (claims.taken[index]) return false;
  claims.taken[index] = true;
  return true;
}

void UnclaimDescriptor(int fd) {
  Claims& claims = TheClaims();
  std::lock_guard<std::mutex> lock(claims.mutex);
  claims.taken[static_cast<size_t>(fd)] = false;
}

}  // namespace podgate
