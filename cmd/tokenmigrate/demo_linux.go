package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the command when the thread that starts it
// ends, and so when this process is killed. That thread must outlive the
// command: the caller's goroutine is locked to it.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
