"""Which calls of the kernel a program in the sandbox may make: those listed here, and no others.

A call that is not listed fails with ENOSYS, as on a kernel that does not have it: mount, ptrace, unshare,
bpf, keyctl, kexec, io_uring, perf_event_open, userfaultfd, process_vm_readv, shared memory that no limit
counts, and whatever kernels will add. Numbers are those of the kernel's headers, arch/x86/entry/syscalls
and include/uapi/asm-generic/unistd.h. The filter is a classic BPF program, as seccomp(2) describes.
"""

from __future__ import annotations

import platform
import struct

from luban.errors import ConfigError

X86_64, AARCH64 = 0xC000003E, 0xC00000B7
"""AUDIT_ARCH of linux/audit.h."""
ARCHITECTURES = {"x86_64": X86_64, "aarch64": AARCH64}

# name:number on x86_64:number on aarch64, "-" where there is none
ALLOWED = (
    # reading and writing
    "read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 lseek:8:62 close:3:57 "
    "close_range:436:436 dup:32:23 dup2:33:- dup3:292:24 pipe:22:- pipe2:293:59 fcntl:72:25 "
    "fsync:74:82 fdatasync:75:83 sendfile:40:71 copy_file_range:326:285 fadvise64:221:223 "
    "fallocate:285:47 "
    # files and folders
    "open:2:- openat:257:56 creat:85:- stat:4:- lstat:6:- fstat:5:80 newfstatat:262:79 statx:332:291 "
    "access:21:- faccessat:269:48 faccessat2:439:439 getcwd:79:17 chdir:80:49 fchdir:81:50 "
    "getdents64:217:61 mkdir:83:- mkdirat:258:34 rmdir:84:- unlink:87:- unlinkat:263:35 rename:82:- "
    "renameat:264:38 renameat2:316:276 link:86:- linkat:265:37 symlink:88:- symlinkat:266:36 "
    "readlink:89:- readlinkat:267:78 truncate:76:45 ftruncate:77:46 chmod:90:- fchmod:91:52 "
    "fchmodat:268:53 utimensat:280:88 umask:95:166 statfs:137:43 fstatfs:138:44 flock:73:32 "
    # memory
    "brk:12:214 mmap:9:222 munmap:11:215 mprotect:10:226 mremap:25:216 madvise:28:233 msync:26:227 "
    # processes and threads
    "fork:57:- vfork:58:- execve:59:221 exit:60:93 exit_group:231:94 wait4:61:260 waitid:247:95 "
    "kill:62:129 tkill:200:130 tgkill:234:131 getpid:39:172 getppid:110:173 gettid:186:178 "
    "getpgrp:111:- getpgid:121:155 setpgid:109:154 getsid:124:156 setsid:112:157 "
    "set_tid_address:218:96 set_robust_list:273:99 get_robust_list:274:100 rseq:334:293 futex:202:98 "
    "membarrier:324:283 sched_yield:24:124 sched_getaffinity:204:123 sched_get_priority_max:146:125 "
    "sched_get_priority_min:147:126 getcpu:309:168 arch_prctl:158:- restart_syscall:219:128 pause:34:- "
    # signals and time
    "rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigsuspend:130:133 "
    "rt_sigpending:127:136 rt_sigtimedwait:128:137 sigaltstack:131:132 alarm:37:- getitimer:36:102 "
    "setitimer:38:103 nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 "
    "clock_getres:229:114 gettimeofday:96:169 time:201:- times:100:153 "
    # who and where
    "getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150 "
    "getgroups:115:158 getrlimit:97:163 setrlimit:160:164 prlimit64:302:261 getrusage:98:165 "
    "getpriority:140:141 uname:63:160 sysinfo:99:179 getrandom:318:278 "
    # waiting for several things
    "select:23:- pselect6:270:72 poll:7:- ppoll:271:73 epoll_create1:291:20 epoll_create:213:- "
    "epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22 eventfd2:290:19 timerfd_create:283:85 "
    "timerfd_settime:286:86 timerfd_gettime:287:87 "
    # sockets within the sandbox, which AF_UNIX alone can open
    "connect:42:203 bind:49:200 listen:50:201 accept:43:202 accept4:288:242 shutdown:48:210 sendto:44:206 "
    "recvfrom:45:207 sendmsg:46:211 recvmsg:47:212 getsockname:51:204 getpeername:52:205 "
    "setsockopt:54:208 getsockopt:55:209"
)
# name:number:number:which argument, and the values that it may have
WITH_VALUES: dict[str, tuple[int, tuple[int, ...]]] = {
    "socket:41:198": (0, (1,)),  # AF_UNIX: no network, no vsock to the host of a virtual machine, no netlink
    "socketpair:53:199": (0, (1,)),
    # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: no TIOCSTI
    "ioctl:16:29": (1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
    "prctl:157:167": (0, (15, 16, 0x53564D41)),  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
}
CLONE = "clone:56:220"
NEW_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of linux/sched.h."""

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Places in struct seccomp_data; the low half of an argument comes first on both machines."""


def filter_program(machine: str | None = None) -> bytes:
    """Return the seccomp filter of this machine as struct sock_filter[]; refuse a machine not known."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise ConfigError(
            f"the sandbox knows no list of kernel calls for {machine}",
            fix=f"run programs on a machine of kind {' or '.join(ARCHITECTURES)}",
        )
    program = [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, ARCHITECTURES[machine], 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER),
    ]
    for entry in ALLOWED.split():
        if (number := _number(entry, machine)) is not None:
            program += [_step(EQUAL, number, 0, 1), _step(RETURN, ALLOW)]
    for entry, (argument, values) in WITH_VALUES.items():
        checks = [s for v in values for s in (_step(EQUAL, v, 0, 1), _step(RETURN, ALLOW))]
        program += _checked(_number(entry, machine), argument, [*checks, _step(RETURN, ERRNO | EPERM)])
    is_new = [_step(ANY_BIT, NEW_NAMESPACES, 0, 1), _step(RETURN, ERRNO | EPERM), _step(RETURN, ALLOW)]
    program += _checked(_number(CLONE, machine), 0, is_new)
    # clone3 hides its flags in memory where no filter can look: without it, libraries take clone.
    program.append(_step(RETURN, ERRNO | ENOSYS))
    return b"".join(program)


def _checked(number: int | None, argument: int, checks: list[bytes]) -> list[bytes]:
    """Return steps that decide one call by one of its arguments, and pass over every other call."""
    load = _step(LOAD, ARGUMENTS + 8 * argument)
    return [_step(EQUAL, number or 0, 0, len(checks) + 1), load, *checks]


def _number(entry: str, machine: str) -> int | None:
    _, on_x86, on_arm = entry.split(":")
    number = on_x86 if machine == "x86_64" else on_arm
    return None if number == "-" else int(number)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
