using System.Collections.Concurrent;
using Archipelago.Filed.Native;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Filed.Storage;

/// <summary>
/// Fences another filed: its process is killed and waited for, if it is one of this host. The kernel has then ended its system calls on files, too.
/// </summary>
internal static unsafe class FiledFence
{
    private const int Patience = 60_000, Kill = 9;
    private static readonly ConcurrentDictionary<int, bool> s_alive = [];

    /// <summary>A filed of this process serves.</summary>
    internal static void Enter(FiledAddress own) => s_alive[own.Instance] = true;

    /// <summary>It does not any more.</summary>
    internal static void Leave(FiledAddress own) => s_alive.TryRemove(own.Instance, out _);

    /// <summary>Whether the filed is known to be gone.</summary>
    internal static bool IsDead(FiledAddress other, FiledAddress own) => other.IsVisibleTo(own)
        && (FiledAddress.StartOf(other.Process) != other.Start || (other.Process == own.Process && !s_alive.ContainsKey(other.Instance)));

    /// <summary>
    /// 0: nothing of it takes effect any more, or its lease is all that there is, which is logged. EBUSY: it does not die; EACCES: it may not be
    /// killed; EINVAL: the address is none. Blocks.
    /// </summary>
    internal static int Fence(string address, FiledAddress own, ILogger log)
    {
        var other = FiledAddress.Parse(address);
        if (other == null)
        {
            log.LogError("\"{Address}\" is no address of a filed: whoever it is cannot be fenced. Is the directory also served by something else?", address);
            return Errno.EINVAL;
        }

        if (!other.IsVisibleTo(own))
        {
            log.LogWarning("filed {Address} is of another host, of an earlier boot of this one, or in another pid namespace: it cannot be killed from here. Its lease has run out, or an operator says so; that is all that keeps it from writing", address);
            return 0;
        }

        if (IsDead(other, own)) return 0;
        if (other.Process != own.Process) return KillProcess(other, log);
        log.LogError("filed {Address} serves in this very process, which will not kill itself: stop that one, or give each of the two a process of its own", address);
        return Errno.EBUSY;
    }

    private static int KillProcess(FiledAddress other, ILogger log)
    {
        int process = Libc.pidfd_open(other.Process);
        if (process < 0) return Sys.LastError == Sys.ESRCH ? 0 : Failed(other, "pidfd_open", log);
        try
        {
            // The descriptor is of the process that has the number now; if that is the one meant it cannot become another any more.
            if (FiledAddress.StartOf(other.Process) != other.Start) return 0;
            log.LogWarning("filed of process {Process} lost its lock: killing it, so that nothing of it is written any more", other.Process);
            if (Libc.pidfd_send_signal(process, Kill) != 0 && Sys.LastError != Sys.ESRCH) return Failed(other, "kill", log);
            var watched = new Libc.PollFd { Fd = process, Events = Libc.POLLIN };
            long until = Environment.TickCount64 + Patience;
            while (Environment.TickCount64 < until)
            {
                int ready = Libc.poll(&watched, 1, (int)Math.Max(0, until - Environment.TickCount64));
                if (ready > 0) return 0;
                if (ready < 0 && Sys.LastError != XsegErrno.EINTR) return Failed(other, "poll", log);
            }

            log.LogError("process {Process} was killed and has not ended within {Seconds} s: does it wait for a disk? Its lock is not taken before it has", other.Process, Patience / 1000);
            return Errno.EBUSY;
        }
        finally
        {
            _ = Libc.close(process);
        }
    }

    private static int Failed(FiledAddress other, string what, ILogger log)
    {
        int error = Sys.LastError;
        log.LogError("filed of process {Process} cannot be fenced: {What}: {Error}; run both as the same user, or end that process", other.Process, what, Errno.Describe(error));
        return error == Errno.EPERM ? Errno.EACCES : error;
    }
}
