// Messages with descriptors over a SOCK_SEQPACKET Unix socket. Knows the kernel's interface, not JavaScript.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include <string>
#include <vector>

#include "fd.h"

namespace podgate {

constexpr size_t kMessageLimit = 64 * 1024;
constexpr size_t kDescriptorLimit = 32;

struct Packet {
  std::vector<uint8_t> bytes;  // empty: the peer has closed
  std::vector<UniqueFd> descriptors;
};

// Each returns 0 or a positive errno, and waits for nothing: EAGAIN.
int SendPacket(int fd, const uint8_t* bytes, size_t length, const std::vector<int>& descriptors);
// EMSGSIZE: it was longer than 64 KiB. EBADMSG: descriptors were lost. In both cases it and its descriptors are gone.
int ReceivePacket(int fd, std::vector<uint8_t>* buffer, Packet* packet);

// Makes a listener, its file of mode 0600. Removes a socket file that nobody listens on; EADDRINUSE when it is no
// socket, or somebody listens.
int ListenSeqpacket(const std::string& path, UniqueFd* listener);
int ConnectSeqpacket(const std::string& path, UniqueFd* connected);

}  // namespace podgate
