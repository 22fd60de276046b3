#include "diag_socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>

namespace podgate {
namespace {

// The kernel fills at most 32 KiB of it at once.
constexpr size_t kBufferSize = 64 * 1024;
// The kernel answers at once. Who waits may be the event loop, so it must not wait for ever.
constexpr struct timeval kPatience = {5, 0};

}  // namespace

const uint8_t* FindAttribute(const uint8_t* attributes, size_t length, int type, size_t* found_length) {
  while (length >= sizeof(struct rtattr)) {
    struct rtattr header;
    memcpy(&header, attributes, sizeof(header));
    if (header.rta_len < sizeof(header) || header.rta_len > length) return nullptr;
    if (header.rta_type == type) {
      *found_length = header.rta_len - sizeof(header);
      return attributes + sizeof(header);
    }
    size_t step = std::min(length, size_t{RTA_ALIGN(header.rta_len)});
    attributes += step;
    length -= step;
  }
  return nullptr;
}

int DiagSocket::Open() {
  fd_ = UniqueFd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  // EPROTONOSUPPORT: no sock_diag at all.
  if (!fd_.Valid()) return errno == EPROTONOSUPPORT ? ENOENT : errno;
  struct sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  // Connected, nobody but the kernel can send to it.
  if (connect(fd_.Get(), reinterpret_cast<struct sockaddr*>(&kernel), sizeof(kernel)) != 0) return errno;
  if (setsockopt(fd_.Get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience)) != 0) return errno;
  buffer_.resize(kBufferSize);
  return 0;
}

int DiagSocket::Next(const Take& take, bool* done) {
  *done = false;
  size_t received = 0;
  if (int error = Receive(&received)) return error;
  if (int error = Parse(received, take, done)) return error;
  return *done && interrupted_ ? EINTR : 0;
}

int DiagSocket::Send(uint16_t type, uint16_t flags, const void* question, size_t length) {
  struct nlmsghdr header = {};
  header.nlmsg_len = static_cast<uint32_t>(sizeof(header) + length);
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  header.nlmsg_seq = ++sequence_;
  interrupted_ = false;
  struct iovec parts[] = {{&header, sizeof(header)}, {const_cast<void*>(question), length}};
  struct msghdr request = {};
  request.msg_iov = parts;
  request.msg_iovlen = 2;
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd_.Get(), &request, 0);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno;
  return static_cast<size_t>(sent) == header.nlmsg_len ? 0 : EIO;
}

int DiagSocket::Receive(size_t* length) {
  struct iovec part = {buffer_.data(), buffer_.size()};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t got = 0;
  do {
    got = recvmsg(fd_.Get(), &message, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
  if (got == 0 || (message.msg_flags & MSG_TRUNC) != 0) return EBADMSG;
  *length = static_cast<size_t>(got);
  return 0;
}

int DiagSocket::Parse(size_t length, const Take& take, bool* done) {
  for (size_t at = 0; at < length && !*done;) {
    struct nlmsghdr header;
    if (length - at < sizeof(header)) return EBADMSG;
    memcpy(&header, buffer_.data() + at, sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > length - at) return EBADMSG;
    const uint8_t* payload = buffer_.data() + at + sizeof(header);
    size_t payload_length = header.nlmsg_len - sizeof(header);
    at += NLMSG_ALIGN(header.nlmsg_len);
    if (header.nlmsg_seq != sequence_) continue;  // the rest of an answer that was given up
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      int32_t status = 0;  // 0 or a negative errno; of a dump's end, only since Linux 4.16
      if (payload_length >= sizeof(status)) memcpy(&status, payload, sizeof(status));
      if (status > 0) return EBADMSG;
      if (status < 0) return -status;
      *done = true;
    } else if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY || header.nlmsg_type == TCPDIAG_GETSOCK) {
      struct inet_diag_msg message;
      if (payload_length < sizeof(message)) return EBADMSG;
      memcpy(&message, payload, sizeof(message));
      size_t before = std::min(payload_length, size_t{NLMSG_ALIGN(sizeof(message))});
      take(message, payload + before, payload_length - before);
    }
  }
  return 0;
}

}  // namespace podgate
