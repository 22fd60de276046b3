/*
 * Opens connections to one address with sockets and addresses in every odd state there is.
 * usage: contort ADDRESS PORT
 *
 * Prints {"name":"EPERM",..}: errno's name for each way, "connected", or "unsupported" where the kernel lacks it.
 */
#include "outcome.h"

#include <linux/in6.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNSUPPORTED = -2 };

static struct endpoint target;

static int family(void)
{
	return target.address.ss_family;
}

static int fresh(int domain, int protocol)
{
	struct timeval patience = { .tv_sec = 1 };
	int fd = socket(domain, SOCK_STREAM, protocol);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static int dial(int fd)
{
	return connect(fd, (struct sockaddr *)&target.address, target.size);
}

static int plain(int fd)
{
	return dial(fd);
}

static int after_unspec(int fd)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	connect(fd, &nowhere, sizeof(nowhere));
	return dial(fd);
}

static int after_refusal(int fd)
{
	dial(fd);
	return dial(fd);
}

/* Port 1 of loopback refuses; the socket is then as good as new. */
static int after_another(int fd)
{
	struct endpoint other = parse_endpoint(family() == AF_INET ? "127.0.0.1" : "::1", "1");

	connect(fd, (struct sockaddr *)&other.address, other.size);
	return dial(fd);
}

static int with_flow_label(int fd)
{
	struct endpoint labelled = target;
	int on = 1;

	if (family() != AF_INET6)
		return UNSUPPORTED;
	((struct sockaddr_in6 *)&labelled.address)->sin6_flowinfo = htonl(0x12345);
	setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, &on, sizeof(on));
	return connect(fd, (struct sockaddr *)&labelled.address, labelled.size);
}

static int with_scope(int fd)
{
	struct endpoint scoped = target;

	if (family() != AF_INET6)
		return UNSUPPORTED;
	((struct sockaddr_in6 *)&scoped.address)->sin6_scope_id = 2;
	return connect(fd, (struct sockaddr *)&scoped.address, scoped.size);
}

/* RFC 2133's address ended before the scope. */
static int with_short_address(int fd)
{
	return family() == AF_INET6 ? connect(fd, (struct sockaddr *)&target.address, 24) : UNSUPPORTED;
}

static int with_long_address(int fd)
{
	return connect(fd, (struct sockaddr *)&target.address, sizeof(target.address));
}

static int bound_to_device(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5);
	return dial(fd);
}

/* IPv4 through an IPv6 socket that is bound to an IPv4 address. */
static int mapped_and_bound(int fd)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 }, mapped = any;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target.address;

	if (family() != AF_INET)
		return UNSUPPORTED;
	close(fd);
	fd = fresh(AF_INET6, 0);
	any.sin6_addr.s6_addr16[5] = 0xffff;
	mapped.sin6_addr.s6_addr16[5] = 0xffff;
	mapped.sin6_addr.s6_addr32[3] = v4->sin_addr.s_addr;
	mapped.sin6_port = v4->sin_port;
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		return -1;
	return connect(fd, (struct sockaddr *)&mapped, sizeof(mapped));
}

/* connect() to loopback is put off until there is data; the data names another address. */
static int put_off_elsewhere(int fd)
{
	struct endpoint other = parse_endpoint(family() == AF_INET ? "127.0.0.1" : "::1", "1");
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) != 0)
		return UNSUPPORTED;
	connect(fd, (struct sockaddr *)&other.address, other.size);
	return sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&target.address, target.size) < 0 ? -1 : 0;
}

static int of_a_copy(int fd)
{
	int copy = dup(fd);

	close(fd);
	return dial(copy);
}

/* Runs `act` in a child, which may then change its namespaces. */
static int in_child(int (*act)(int), int fd)
{
	int status, child = fork();

	if (child == 0) {
		int result = act(fd);

		_exit(result == UNSUPPORTED ? 255 : result == 0 ? 0 : errno);
	}
	waitpid(child, &status, 0);
	if (WEXITSTATUS(status) == 255)
		return UNSUPPORTED;
	errno = WEXITSTATUS(status);
	return errno == 0 ? 0 : -1;
}

static int of_a_child(int fd)
{
	return in_child(dial, fd);
}

static int leave_cgroup_namespace(int fd)
{
	return unshare(CLONE_NEWCGROUP) != 0 ? UNSUPPORTED : dial(fd);
}

static int in_cgroup_namespace(int fd)
{
	return in_child(leave_cgroup_namespace, fd);
}

static int leave_network(int fd)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 ? UNSUPPORTED : dial(fd);
}

/* A socket of the pod's network, used by a process that is in none of the pod's. */
static int from_nested_network(int fd)
{
	return in_child(leave_network, fd);
}

static int of_protocol(int fd, int domain, int protocol)
{
	close(fd);
	fd = fresh(domain, protocol);
	return fd < 0 ? UNSUPPORTED : dial(fd);
}

static int smc(int fd)
{
	return of_protocol(fd, 43 /* AF_SMC */, family() == AF_INET6);
}

static int smc_by_protocol(int fd)
{
	return of_protocol(fd, family(), 256 /* IPPROTO_SMC */);
}

static int mptcp(int fd)
{
	return of_protocol(fd, family(), 262 /* IPPROTO_MPTCP */);
}

static const struct way {
	const char *name;
	int (*act)(int fd);
} ways[] = {
	{ "plain", plain },
	{ "after_unspec", after_unspec },
	{ "after_refusal", after_refusal },
	{ "after_another", after_another },
	{ "with_flow_label", with_flow_label },
	{ "with_scope", with_scope },
	{ "with_short_address", with_short_address },
	{ "with_long_address", with_long_address },
	{ "bound_to_device", bound_to_device },
	{ "mapped_and_bound", mapped_and_bound },
	{ "put_off_elsewhere", put_off_elsewhere },
	{ "of_a_copy", of_a_copy },
	{ "of_a_child", of_a_child },
	{ "in_cgroup_namespace", in_cgroup_namespace },
	{ "from_nested_network", from_nested_network },
	{ "smc", smc },
	{ "smc_by_protocol", smc_by_protocol },
	{ "mptcp", mptcp },
};

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: contort ADDRESS PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	target = parse_endpoint(argv[1], argv[2]);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int result = ways[i].act(fresh(family(), 0));
		const char *outcome = result == 0 ? "connected" :
				      result == UNSUPPORTED ? "unsupported" : strerrorname_np(errno);

		printf("%s\"%s\":\"%s\"", i == 0 ? "{" : ",", ways[i].name, outcome);
	}
	printf("}\n");
	return 0;
}
