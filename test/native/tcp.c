/* Descriptors of loopback TCP connections, which Node.js does not hand out. For tests of the addon alone. */
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <node_api.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static napi_value fail(napi_env env, const char *what)
{
	napi_throw_error(env, strerrorname_np(errno), what);
	return NULL;
}

static int option(napi_env env, napi_callback_info info)
{
	size_t count = 1;
	napi_value argument;
	int value = 0;

	napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
	if (count > 0)
		napi_get_value_int32(env, argument, &value);
	return value;
}

static napi_value number(napi_env env, int value)
{
	napi_value result;

	napi_create_int32(env, value, &result);
	return result;
}

static int listener(struct sockaddr_in6 *address)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*address);

	memset(address, 0, sizeof(*address));
	address->sin6_family = AF_INET6;
	address->sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, (void *)address, sizeof(*address)) || listen(fd, 128) ||
	    getsockname(fd, (void *)address, &size))
		return -1;
	return fd;
}

/* pair(receiveBuffer = 0): [fd, fd], the two ends of one connection; 0 leaves the buffers to the kernel. */
static napi_value pair(napi_env env, napi_callback_info info)
{
	static int listening = -1;
	static struct sockaddr_in6 address;
	int buffer = option(env, info);
	napi_value result;

	if (listening < 0)
		listening = listener(&address);
	int a = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listening < 0 || a < 0)
		return fail(env, "make socket");
	if (buffer)
		setsockopt(a, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (connect(a, (void *)&address, sizeof(address)))
		return fail(env, "connect");
	int b = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	if (b < 0)
		return fail(env, "accept");
	napi_create_array_with_length(env, 2, &result);
	napi_set_element(env, result, 0, number(env, a));
	napi_set_element(env, result, 1, number(env, b));
	return result;
}

/* unconnected(): a TCP socket that was never connected. */
static napi_value unconnected(napi_env env, napi_callback_info info)
{
	(void)info;
	return number(env, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

/* listening(): a listening TCP socket. */
static napi_value listening(napi_env env, napi_callback_info info)
{
	struct sockaddr_in6 address;

	(void)info;
	return number(env, listener(&address));
}

/* reset(fd): closes it so that the peer gets RST. */
static napi_value reset(napi_env env, napi_callback_info info)
{
	struct linger now = { 1, 0 };
	int fd = option(env, info);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	return NULL;
}

/* exchange(a, b): one byte from a to b and one back; waits, blocking or not. */
static napi_value exchange(napi_env env, napi_callback_info info)
{
	size_t count = 2;
	napi_value arguments[2];
	int fds[2] = { -1, -1 };

	napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
	for (int i = 0; i < 2; i++)
		napi_get_value_int32(env, arguments[i], &fds[i]);
	for (int i = 0; i < 2; i++) {
		struct pollfd arrival = { .fd = fds[1 - i], .events = POLLIN };
		char byte = 'x';

		if (send(fds[i], &byte, 1, MSG_NOSIGNAL) != 1 || poll(&arrival, 1, 10000) != 1 ||
		    recv(fds[1 - i], &byte, 1, 0) != 1)
			return fail(env, "exchange a byte");
	}
	return NULL;
}

static napi_value init(napi_env env, napi_value exports)
{
	napi_property_descriptor functions[] = {
		{ "pair", NULL, pair, NULL, NULL, NULL, napi_default, NULL },
		{ "unconnected", NULL, unconnected, NULL, NULL, NULL, napi_default, NULL },
		{ "listening", NULL, listening, NULL, NULL, NULL, napi_default, NULL },
		{ "exchange", NULL, exchange, NULL, NULL, NULL, napi_default, NULL },
		{ "reset", NULL, reset, NULL, NULL, NULL, napi_default, NULL },
	};

	napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
	return exports;
}
NAPI_MODULE(tcp, init)
