/** Programs for startPython: a server that can hold as many connections as descriptors, and clients of a policy by port. */

/** Any number of connections, each of which hears what it says. Says "ready" when it listens. */
export const ECHO = `
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
listener = listen(8080, 4096)
poll = select.epoll()
poll.register(listener, select.EPOLLIN)
open_ones = {}
say("ready")
while True:
    for number, _ in poll.poll():
        if number == listener.fileno():
            made, _ = listener.accept()
            open_ones[made.fileno()] = made
            poll.register(made, select.EPOLLIN)
            continue
        each = open_ones[number]
        try:
            piece = each.recv(1 << 18)
            if piece:
                each.sendall(piece)
                continue
        except OSError:
            pass
        del open_ones[number]
        each.close()`;

/** Connects until the port is one that the policy allows. A refusal's reset may come before connect() returns. */
export const ALLOWED = `
def allowed(prepare=lambda made: None, address=arguments[0]):
    while True:
        made = socket.socket(family(address))
        prepare(made)
        made.settimeout(20)
        said = outcome(lambda: made.connect((address, 80)))
        if made.getsockname()[1] % 7:
            assert said is None, said
            return made
        made.close()
`;
