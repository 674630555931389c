package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A lease's holder is written so that another process of the same machine can
// tell that it is dead, and need not wait for the lease to lapse:
//
//	HOST pid PID start TICKS boot ID ns PIDNAMESPACE
//
// Where the kernel does not tell these (anywhere but on Linux) only host and pid
// stand in it, and nobody is ever taken for dead.

// holder names this process.
func holder() string {
	host, _ := os.Hostname()
	name := fmt.Sprintf("%s pid %d", host, os.Getpid())
	kernel, ok := kernelName()
	start, alive := startOf(os.Getpid())
	if !ok || !alive {
		return name
	}
	return fmt.Sprintf("%s start %s %s", name, start, kernel)
}

// holderDead reports whether the process that a holder names is certainly gone:
// it ran on this host, under this boot of this kernel, in this process
// namespace, and no process has its number and start time now.
func holderDead(name string) bool {
	host, _ := os.Hostname()
	kernel, ok := kernelName()
	if !ok {
		return false
	}
	rest, here := strings.CutPrefix(name, host+" pid ")
	rest, same := strings.CutSuffix(rest, " "+kernel)
	pidText, start, whole := strings.Cut(rest, " start ")
	pid, err := strconv.Atoi(pidText)
	if !here || !same || !whole || err != nil {
		return false
	}
	if now, alive := startOf(pid); alive {
		return now != start
	}
	// /proc may hide it, or not be readable just now: only its absence counts.
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// kernelName names this boot and process namespace.
func kernelName() (string, bool) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("boot %s ns %s", strings.TrimSpace(string(boot)), ns), true
}

// startOf returns when a process started, in ticks since boot; false: there is
// no such process, or it is a zombie.
func startOf(pid int) (string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The name in parentheses may hold anything; the fields follow the last one.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	return fields[19], true
}
