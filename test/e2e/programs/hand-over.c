/*
 * A socket made in one place and connected in another.
 * usage: hand-over give PATH FAMILY          makes a TCP socket (FAMILY 4 or 6) and gives it to who asks at PATH
 *        hand-over take PATH COMM-HEX ADDRESS PORT   asks for it there and connects it
 *
 * `give` prints "listening" when it may be asked. `take` prints {"error":..} or {"peer":..}.
 */
#include "outcome.h"

#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

struct parcel {
	struct msghdr message;
	struct iovec data;
	char byte;
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
};

static void pack(struct parcel *parcel)
{
	parcel->data = (struct iovec){ .iov_base = &parcel->byte, .iov_len = 1 };
	parcel->message = (struct msghdr){
		.msg_iov = &parcel->data,
		.msg_iovlen = 1,
		.msg_control = parcel->control.space,
		.msg_controllen = sizeof(parcel->control.space),
	};
}

static int give(const char *path, int family)
{
	struct sockaddr_un address = at(path);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd = socket(family, SOCK_STREAM, 0);
	struct parcel parcel = { .byte = 'x' };

	unlink(path);
	if (fd < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0)
		return 1;
	puts("listening");
	fflush(stdout);
	int taker = accept(listener, NULL, NULL);

	pack(&parcel);
	struct cmsghdr *header = CMSG_FIRSTHDR(&parcel.message);

	*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(taker, &parcel.message, 0) == 1 ? 0 : 1;
}

static int take(const char *path, const char *comm, const char *address, const char *port)
{
	struct sockaddr_un giver = at(path);
	int channel = socket(AF_UNIX, SOCK_STREAM, 0);
	struct endpoint to = parse_endpoint(address, port);
	struct parcel parcel = { .byte = 0 };
	char text[96];
	int fd;

	set_comm(comm);
	pack(&parcel);
	if (connect(channel, (struct sockaddr *)&giver, sizeof(giver)) < 0 || recvmsg(channel, &parcel.message, 0) != 1)
		return 1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&parcel.message);

	if (header == NULL || header->cmsg_type != SCM_RIGHTS)
		return 1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if (connect(fd, (struct sockaddr *)&to.address, to.size) < 0)
		return report_error(errno);
	describe(&to, text, sizeof(text));
	printf("{\"peer\":\"%s\"}\n", text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "give") == 0)
		return give(argv[2], strcmp(argv[3], "6") == 0 ? AF_INET6 : AF_INET);
	if (argc == 6 && strcmp(argv[1], "take") == 0)
		return take(argv[2], argv[3], argv[4], argv[5]);
	fprintf(stderr, "usage: hand-over give PATH FAMILY | take PATH COMM-HEX ADDRESS PORT\n");
	return 2;
}
