using System.Text;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// The calls that block until the OSD answers, for ever if it does not: for helper threads, never for a reactor. They
/// may run on any thread, beside the queue's, but not beyond <see cref="RadosCluster.Shutdown"/>. They allocate.
/// </summary>
public sealed unsafe partial class RadosPool
{
    private const byte MayRenew = 1;
    private const byte MustRenew = 2;

    /// <summary>
    /// Takes an exclusive advisory lock on an object (created if need be). 0; EBUSY: somebody else holds it; EEXIST:
    /// this client holds it with this cookie already and <paramref name="renew"/> is Never; ENOENT: renewal was
    /// demanded and it is not held (for example broken). Advisory: it stops no write by itself.
    /// </summary>
    /// <param name="obj">The object's name.</param>
    /// <param name="name">The lock's name; an object may have several.</param>
    /// <param name="cookie">Tells several holds of one client apart.</param>
    /// <param name="description">For people who list the lockers.</param>
    /// <param name="lease">The lock vanishes by itself after this (the OSD's clock); null: never.</param>
    /// <param name="renew">What to do if this client holds the lock already.</param>
    public int LockExclusive(
        string obj, string name, string cookie, string description = "", TimeSpan? lease = null,
        LockRenewal renew = LockRenewal.Never)
    {
        CheckOpen(obj, name, cookie, description);
        byte flags = renew switch { LockRenewal.May => MayRenew, LockRenewal.Must => MustRenew, _ => 0 };
        NativeControl.TimeVal duration = default;
        if (lease is { } l)
        {
            if (l <= TimeSpan.Zero)
                throw new ArgumentOutOfRangeException(nameof(lease), l, "a lease lasts longer than nothing");
            duration.Seconds = l.Ticks / TimeSpan.TicksPerSecond;
            duration.Microseconds = l.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond;
        }
        return RadosErrno.FromReturn(NativeControl.rados_lock_exclusive(
            _handle, obj, name, cookie, description, lease is null ? null : &duration, flags));
    }

    /// <summary>Gives up a lock of this client; ENOENT if it does not hold it.</summary>
    public int Unlock(string obj, string name, string cookie)
    {
        CheckOpen(obj, name, cookie);
        return RadosErrno.FromReturn(NativeControl.rados_unlock(_handle, obj, name, cookie));
    }

    /// <summary>
    /// Takes the lock away from another client; ENOENT if it does not hold it. The other is not stopped by it:
    /// blocklist it first (<see cref="RadosCluster.Blocklist"/>).
    /// </summary>
    public int BreakLock(string obj, string name, RadosLocker holder)
    {
        CheckOpen(obj, name, holder.Client, holder.Cookie);
        return RadosErrno.FromReturn(
            NativeControl.rados_break_lock(_handle, obj, name, holder.Client, holder.Cookie));
    }

    /// <summary>Lists who holds the lock (at most one, if exclusive). 0, or ENOENT if there is no such object.</summary>
    public int ListLockers(string obj, string name, out IReadOnlyList<RadosLocker> lockers)
    {
        CheckOpen(obj, name);
        lockers = [];
        for (int size = 1024; ; size *= 4)
        {
            var buffer = new byte[4 * size];
            nuint tagLength, clientsLength, cookiesLength, addressesLength;
            tagLength = clientsLength = cookiesLength = addressesLength = (nuint)size;
            nint count;
            fixed (byte* p = buffer)
            {
                count = NativeControl.rados_list_lockers(
                    _handle, obj, name, out _, p, &tagLength, p + size, &clientsLength, p + (2 * size), &cookiesLength,
                    p + (3 * size), &addressesLength);
            }
            if (count == -RadosErrno.ERANGE && size < 1 << 20)
                continue;
            if (count < 0)
                return RadosErrno.FromReturn(count);
            string[] clients = Split(buffer.AsSpan(size, (int)clientsLength), (int)count);
            string[] cookies = Split(buffer.AsSpan(2 * size, (int)cookiesLength), (int)count);
            string[] addresses = Split(buffer.AsSpan(3 * size, (int)addressesLength), (int)count);
            var found = new RadosLocker[count];
            for (int i = 0; i < found.Length; i++)
                found[i] = new RadosLocker(clients[i], cookies[i], addresses[i]);
            lockers = found;
            return 0;
        }
    }

    /// <summary>Size and time of the last write, waiting for them. 0, or ENOENT if there is no object.</summary>
    public int StatBlocking(string obj, out ulong size, out long modifiedSeconds)
    {
        CheckOpen(obj);
        return RadosErrno.FromReturn(NativeControl.rados_stat(_handle, obj, out size, out modifiedSeconds));
    }

    /// <summary>
    /// Calls a method of an object class on the OSD. Returns its errno; <paramref name="outputLength"/> is what it
    /// put into <paramref name="output"/>. ERANGE if that is too small, EOPNOTSUPP (95) for an unknown method or
    /// class, EPERM for a class that the OSD is not to load.
    /// </summary>
    public int Execute(
        string obj, string cls, string method, ReadOnlySpan<byte> input, Span<byte> output, out int outputLength)
    {
        CheckOpen(obj, cls, method);
        fixed (byte* i = input, o = output)
        {
            int code = NativeControl.rados_exec(
                _handle, obj, cls, method, i, (nuint)input.Length, o, (nuint)output.Length);
            outputLength = Math.Max(code, 0);
            return RadosErrno.FromReturn(code);
        }
    }

    private static string[] Split(ReadOnlySpan<byte> zeroTerminated, int count)
    {
        var parts = new string[count];
        for (int i = 0; i < count; i++)
        {
            int end = zeroTerminated.IndexOf((byte)0);
            if (end < 0)
                end = zeroTerminated.Length;
            parts[i] = Encoding.UTF8.GetString(zeroTerminated[..end]);
            zeroTerminated = zeroTerminated[Math.Min(end + 1, zeroTerminated.Length)..];
        }
        return parts;
    }

    /// <summary>C ends a string at its first NUL and would then name another object.</summary>
    private void CheckOpen(string obj, params ReadOnlySpan<string> others)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        ArgumentException.ThrowIfNullOrEmpty(obj);
        if (obj.Contains('\0'))
            throw new ArgumentException("a name with a NUL in it", nameof(obj));
        foreach (string other in others)
        {
            if (other.Contains('\0'))
                throw new ArgumentException("an argument with a NUL in it", nameof(others));
        }
    }
}
