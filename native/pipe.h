// Pipes for splice(2), and the few that a thread keeps for the next use. Not shared between threads.
#pragma once

#include <array>
#include <cstddef>

#include "fd.h"

namespace podgate {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
  bool large = false;

  bool Valid() const { return read.Valid(); }
};

class PipePool {
 public:
  // An empty pipe. Invalid, with errno set (EMFILE, ENFILE, ENOMEM), when there is none to be had.
  Pipe Take();
  // Takes back a pipe that is empty.
  void Give(Pipe pipe);
  // Closes a pipe that may still hold bytes.
  void Discard(Pipe pipe);
  // How many can be taken without opening one.
  size_t Kept() const { return kept_; }

 private:
  static constexpr size_t kMostKept = 8;
  std::array<Pipe, kMostKept> pipes_;
  size_t kept_ = 0;
  size_t large_ = 0;  // kept or in use
};

}  // namespace podgate
