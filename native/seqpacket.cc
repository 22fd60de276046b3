#include "seqpacket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace podgate {
namespace {

constexpr int kBacklog = 64;
constexpr size_t kControlLength = CMSG_SPACE(kDescriptorLimit * sizeof(int));

int MakeSocket(UniqueFd* made) {
  *made = UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return made->Valid() ? 0 : errno;
}

int AddressOf(const std::string& path, struct sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.size() >= sizeof(address->sun_path)) return ENAMETOOLONG;
  memcpy(address->sun_path, path.c_str(), path.size() + 1);
  return 0;
}

int Bind(int fd, const struct sockaddr_un& address) {
  return bind(fd, reinterpret_cast<const struct sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

int Connect(int fd, const struct sockaddr_un& address) {
  return connect(fd, reinterpret_cast<const struct sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

// Two processes that do this at once: the file of the first may be the one that the second removes. Who must be alone
// holds a lock.
int RemoveStale(const struct sockaddr_un& address) {
  struct stat status;
  if (lstat(address.sun_path, &status) != 0) return errno == ENOENT ? 0 : errno;
  if (!S_ISSOCK(status.st_mode)) return EADDRINUSE;
  UniqueFd probe;
  if (int error = MakeSocket(&probe)) return error;
  if (Connect(probe.Get(), address) != ECONNREFUSED) return EADDRINUSE;
  return unlink(address.sun_path) == 0 || errno == ENOENT ? 0 : errno;
}

// Everything that arrived gets an owner before anything is judged.
void TakeDescriptors(struct msghdr* message, std::vector<UniqueFd>* descriptors) {
  for (struct cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t at = 0; at < count; at++) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(part) + at * sizeof(fd), sizeof(fd));
      descriptors->emplace_back(fd);
    }
  }
}

}  // namespace

int SendPacket(int fd, const uint8_t* bytes, size_t length, const std::vector<int>& descriptors) {
  if (length == 0 || length > kMessageLimit || descriptors.size() > kDescriptorLimit) return EMSGSIZE;
  struct iovec part = {const_cast<uint8_t*>(bytes), length};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(struct cmsghdr) char control[kControlLength] = {};
  if (!descriptors.empty()) {
    size_t size = descriptors.size() * sizeof(int);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(rights), descriptors.data(), size);
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

int ReceivePacket(int fd, std::vector<uint8_t>* buffer, Packet* packet) {
  buffer->resize(kMessageLimit);
  // Before the kernel opens descriptors: an exception must not leave them without an owner.
  packet->descriptors.clear();
  packet->descriptors.reserve(kDescriptorLimit);
  struct iovec part = {buffer->data(), buffer->size()};
  alignas(struct cmsghdr) char control[kControlLength];
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  do {
    got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return errno;
  TakeDescriptors(&message, &packet->descriptors);
  int error = (message.msg_flags & MSG_CTRUNC) != 0 ? EBADMSG : (message.msg_flags & MSG_TRUNC) != 0 ? EMSGSIZE : 0;
  if (error != 0 || got == 0) packet->descriptors.clear();
  if (error == 0) packet->bytes.assign(buffer->begin(), buffer->begin() + got);
  return error;
}

int ListenSeqpacket(const std::string& path, UniqueFd* listener) {
  struct sockaddr_un address;
  if (int error = AddressOf(path, &address)) return error;
  UniqueFd fd;
  if (int error = MakeSocket(&fd)) return error;
  // Of a socket not yet bound, this is the mode that bind makes the file with: there is no moment with another one.
  if (fchmod(fd.Get(), 0600) != 0) return errno;
  int error = Bind(fd.Get(), address);
  if (error == EADDRINUSE) {
    error = RemoveStale(address);
    if (error == 0) error = Bind(fd.Get(), address);
  }
  if (error != 0) return error;
  if (listen(fd.Get(), kBacklog) != 0) {
    error = errno;
    unlink(address.sun_path);
    return error;
  }
  *listener = std::move(fd);
  return 0;
}

int ConnectSeqpacket(const std::string& path, UniqueFd* connected) {
  struct sockaddr_un address;
  if (int error = AddressOf(path, &address)) return error;
  UniqueFd fd;
  if (int error = MakeSocket(&fd)) return error;
  if (int error = Connect(fd.Get(), address)) return error;
  *connected = std::move(fd);
  return 0;
}

}  // namespace podgate
