//go:build linux || (darwin && !ios)

package localpg

import "golang.org/x/sys/unix"

// freeSharedMemory gives back the segment of a server that was killed. The
// number may have become another's since (after a reboot, say), so it must have
// been made by that very process and be used by nobody.
func (m postmaster) freeSharedMemory() {
	if m == (postmaster{}) {
		return
	}
	var segment unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(m.shmID, unix.IPC_STAT, &segment); err != nil {
		return
	}
	if int(segment.Cpid) == m.pid && segment.Nattch == 0 {
		_, _ = unix.SysvShmCtl(m.shmID, unix.IPC_RMID, nil)
	}
}
