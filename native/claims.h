// Which descriptors the pumps of this process own. JavaScript holds them as plain numbers and may give one twice.
#pragma once

namespace podgate {

// False: it has an owner already.
bool ClaimDescriptor(int fd);
// To be called before the descriptor is closed: its number may come back at once.
void UnclaimDescriptor(int fd);

}  // namespace podgate
