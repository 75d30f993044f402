package serve

import (
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/hsm"
)

// admit asks the kernel who is at the other end, and whether he may come in.
func (s *Server) admit(socket *net.UnixConn, administrator bool) (hsm.Caller, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return hsm.Caller{}, err
	}
	var cred *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return hsm.Caller{}, err
	}
	if sockErr != nil {
		return hsm.Caller{}, fmt.Errorf("SO_PEERCRED: %w", sockErr)
	}
	caller := hsm.Caller{
		Link: hsm.LinkLocal, UID: cred.Uid, PID: cred.Pid,
		Owner:         cred.Uid == 0 || cred.Uid == uint32(os.Geteuid()),
		Administrator: administrator, Connection: s.last.Add(1),
	}
	settings := s.settings.Load()
	allowed, key := settings.AllowedUIDs, "socket.allowed_uids"
	if administrator {
		allowed, key = settings.AdministratorUIDs, "admin.allowed_uids"
	}
	if !caller.Owner && len(allowed) > 0 && !slices.Contains(allowed, cred.Uid) {
		return hsm.Caller{}, fmt.Errorf("uid %d is not among the allowed ones (%s)", cred.Uid, key)
	}
	return caller, nil
}
