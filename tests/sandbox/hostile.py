"""Programs that try to do harm. Run them in the sandbox alone: outside, as root, they do it.

Each prints "tried" before its attempt, and "BREACH" if that succeeds. All loops are bounded.
"""

from __future__ import annotations

ATTEMPT = """
print("tried", flush=True)
try:
    {attempt}
except BaseException as e:
    print(type(e).__name__, e)
else:
    print("BREACH", {shown})
"""
LIBC = "import ctypes, os\nlibc = ctypes.CDLL('libc.so.6', use_errno=True)\n"
CALL = "\ndef call(*a):\n    if libc.syscall(*a) == -1: raise OSError(ctypes.get_errno(), 'denied')\n"


def attempt(code: str, before: str = "", shown: str = "''") -> str:
    """Return a program that tries one thing."""
    return before + ATTEMPT.format(attempt=code, shown=shown)


def syscall(number: int, *arguments: object) -> str:
    """Return a program that makes one call of the kernel."""
    return attempt(f"call({', '.join(map(str, (number, *arguments)))})", LIBC + CALL)


REACHES: dict[str, str] = {
    "a host of the internet": attempt(
        "socket.create_connection(('1.1.1.1', 53), timeout=3)", "import socket\n"
    ),
    "the loopback of the machine": attempt(
        "socket.create_connection(('127.0.0.1', 22), timeout=3)", "import socket\n"
    ),
    "a datagram": attempt(
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))", "import socket\n"
    ),
    "the hypervisor": attempt("socket.socket(40, socket.SOCK_STREAM).connect((2, 1024))", "import socket\n"),
    "netlink": attempt("socket.socket(16, socket.SOCK_RAW)", "import socket\n"),
    "kernel cryptography": attempt("socket.socket(38, socket.SOCK_SEQPACKET)", "import socket\n"),
    "abstract sockets of the machine": attempt(
        "socket.socket(socket.AF_UNIX).connect('\\0luban-test-outside')", "import socket\n"
    ),
    "a file of the machine": attempt("d = open('/etc/passwd').read()", shown="d"),
    "shadow": attempt("d = open('/etc/shadow').read()", shown="d"),
    "root's home": attempt("d = os.listdir('/root')", "import os\n", "d"),
    "homes": attempt("d = os.listdir('/home')", "import os\n", "d"),
    "a link out": attempt(
        "os.symlink('/etc/passwd', '/tmp/link'); d = open('/tmp/link').read()", "import os\n", "d"
    ),
    "dots out": attempt("d = open('/tmp/../../../../../etc/hostname').read()", shown="d"),
    "a link to a folder above": attempt(
        "os.symlink('../..', '/tmp/up'); d = open('/tmp/up/etc/passwd').read()", "import os\n", "d"
    ),
    "its parent's environment": attempt("d = open('/proc/1/environ').read()", shown="d"),
    "other processes": attempt("d = os.listdir('/proc')", "import os\n", "d"),
    "its parent's memory": attempt("d = open(f'/proc/{os.getppid()}/mem', 'rb')", "import os\n"),
    "its parent's root": attempt("d = os.listdir(f'/proc/{os.getppid()}/root/')", "import os\n"),
    "kernel settings": attempt("d = os.listdir('/sys')", "import os\n", "d"),
    "the disk": attempt("d = open('/dev/sda', 'rb'), open('/dev/vda', 'rb')"),
    "memory of the machine": attempt("d = open('/dev/mem', 'rb')"),
    "packages of the machine": attempt("import numpy, torch"),
    "writing to the interpreter": attempt("open('/py/lib/x', 'w')"),
    "changing a module": attempt("open(os.__file__, 'a').write('x')", "import os\n"),
    "writing to /": attempt("open('/x', 'w')"),
    "writing to /usr": attempt("os.makedirs('/usr/x')", "import os\n"),
    "writing to /dev": attempt("open('/dev/x', 'w')"),
    "shared memory": attempt("open('/dev/shm/x', 'w')"),
    "mount": attempt(
        "r = libc.mount(b'none', b'/tmp', b'tmpfs', 0, b''); assert r == 0, ctypes.get_errno()", LIBC
    ),
    "umount": attempt("r = libc.umount2(b'/tmp', 2); assert r == 0, ctypes.get_errno()", LIBC),
    "chroot": attempt("os.chroot('/tmp')", "import os\n"),
    "a user namespace": attempt(
        "r = libc.unshare(0x10000000); assert r == 0, ctypes.get_errno()", LIBC
    ),
    "a mount namespace": attempt(
        "r = libc.unshare(0x00020000); assert r == 0, ctypes.get_errno()", LIBC
    ),
    "ptrace of its parent": attempt(
        "r = libc.ptrace(16, os.getppid(), 0, 0); assert r == 0, ctypes.get_errno()", LIBC
    ),
    "becoming root": attempt("os.setuid(0)", "import os\n"),
    "another group": attempt("os.setgroups([0])", "import os\n"),
    "raising a limit": attempt(
        "resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999))", "import resource\n"
    ),
    "raising the memory limit": attempt(
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "import resource\n"
    ),
    "priority": attempt("os.nice(-5)", "import os\n"),
    "the clock": attempt("time.clock_settime(time.CLOCK_REALTIME, 0)", "import time\n"),
    "the host's name": attempt("socket.sethostname('x')", "import socket\n"),
    "making a device": attempt("os.mknod('/tmp/d', 0o20666, os.makedev(1, 1))", "import os\n"),
    "a program with another user's rights": attempt(
        "os.chmod('/tmp/s', 0o4755); os.execv('/bin/su', ['su'])", "import os\nopen('/tmp/s', 'w')\n"
    ),
    "a shell": attempt("subprocess.run(['/bin/sh', '-c', 'id'], check=True)", "import subprocess\n"),
    "typing into a terminal": attempt(
        "fcntl.ioctl(0, 0x5412, b'x')", "import fcntl\n"
    ),
    "killing a process of the machine": attempt("os.kill(PID_OUTSIDE, 9)", "import os\n"),
}  # fmt: skip

X86_CALLS: dict[str, str] = {
    "clone with a user namespace": syscall(56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone with a network namespace": syscall(56, 0x40000000 | 17, 0, 0, 0, 0),
    "clone3": syscall(435, 0, 0),
    "unshare": syscall(272, 0x10000000),
    "setns": syscall(308, 0, 0),
    "mount": syscall(165, 0, 0, 0, 0, 0),
    "open_tree": syscall(428, -100, 0, 1),
    "fsopen": syscall(430, 0, 0),
    "move_mount": syscall(429, 0, 0, 0, 0, 0),
    "pivot_root": syscall(155, 0, 0),
    "ptrace": syscall(101, 0, 0, 0, 0),
    "process_vm_readv": syscall(310, 1, 0, 0, 0, 0, 0),
    "bpf": syscall(321, 0, 0, 0),
    "keyctl": syscall(250, 0, -3, 0),
    "add_key": syscall(248, 0, 0, 0, 0, 0),
    "kexec_load": syscall(246, 0, 0, 0, 0),
    "io_uring_setup": syscall(425, 1, 0),
    "perf_event_open": syscall(298, 0, 0, -1, -1, 0),
    "userfaultfd": syscall(323, 0),
    "init_module": syscall(175, 0, 0, 0),
    "shmget": syscall(29, 0, 4096, 0o1600),
    "memfd_create": syscall(319, "b'x'", 0),
    "personality": syscall(135, 0x0040000),
    "open_by_handle_at": syscall(304, 0, 0, 0),
    "reboot": syscall(169, 0, 0, 0, 0),
    "a call of the x32 kind": syscall(0x40000000 + 39),
    "prctl for dumps": syscall(157, 4, 1, 0, 0, 0),
    "seccomp": syscall(317, 1, 0, 0),
}

USES_UP: dict[str, tuple[str, str]] = {
    "memory": ("x = bytearray(3 << 30)", "memory"),
    "time to compute": ("while True: pass", "timeout"),
    "time to wait": ("import time\ntime.sleep(60)", "timeout"),
    "output": ("while True: print('x' * 1000)", "output"),
    "output of errors": ("import sys\nwhile True: print('x' * 1000, file=sys.stderr)", "output"),
}
FORKS = """
import os, time
made = 0
for _ in range(200):
    try:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
    except OSError as e:
        pass
print(made)
"""
THREADS = """
import threading, time
made = 0
for _ in range(200):
    try:
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        made += 1
    except RuntimeError:
        pass
print(made, flush=True)
import os; os._exit(0)
"""
MEMORY_OF_MANY = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(100 << 20)
        for i in range(0, len(x), 4096): x[i] = 1
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""
MEMORY_BEHIND_A_THREAD = """
import os, threading, time
def go():
    for _ in range(4):
        if os.fork() == 0:
            x = b'x' * (100 << 20)
            time.sleep(8)
            os._exit(0)
    time.sleep(8)
thread = threading.Thread(target=go)
thread.start()
thread.join()
"""
BIG_FILES = """
try:
    for n in range(20):
        with open(f'/tmp/{n}', 'wb') as f:
            for _ in range(8): f.write(bytes(1 << 20))
except OSError as e:
    print(n, type(e).__name__)
try:
    for n in range(8): open(f'/tmp/{n}', 'wb').close()
    open('/tmp/0', 'wb', buffering=0).write(bytes(40 << 20))
    open('/tmp/0', 'ab', buffering=0).write(b'x')
except OSError as e:
    print(e.errno)
"""
KILLS_ALL = """
import os, signal
for pid in (1, os.getppid(), -1):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError as e:
        print(e)
print('alive', flush=True)
"""
LEAVES_ONE = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(300)
    os._exit(0)
os.wait()
print('left')
"""
