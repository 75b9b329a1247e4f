using System.Runtime.CompilerServices;

namespace Archipelago.Radosd.Librados;

public sealed unsafe partial class RadosPool
{
    /// <summary>
    /// Reads an extended attribute into memory that must stay put until the result is taken. ENODATA (61) if the
    /// object has no such attribute, ENOENT if there is no object, ERANGE if the buffer is too small.
    /// </summary>
    public int GetAttribute(
        ReadOnlySpan<byte> name, ReadOnlySpan<byte> attribute, byte* buffer, int length, object? state, long token = 0)
    {
        if (length < 0)
            return RadosErrno.EINVAL;
        Unsafe.SkipInit(out NulTerminated a);
        int errno = a.Set(attribute);
        if (errno != 0)
            return errno;
        errno = Begin(name, length, state, token, out NulTerminated c, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion, Native.rados_aio_getxattr(
            _handle, c.Pointer, completion.Handle, a.Pointer, buffer, (nuint)length));
    }

    /// <summary>Sets an extended attribute, creating the object if need be. The value is copied at once.</summary>
    public int SetAttribute(
        ReadOnlySpan<byte> name, ReadOnlySpan<byte> attribute, ReadOnlySpan<byte> value, object? state, long token = 0)
    {
        using var op = RadosWriteOp.Create();
        op.SetAttribute(attribute, value);
        return op.Submit(this, name, state, token);
    }

    /// <summary>Removes an extended attribute; ENODATA (61) or ENOENT if there is none.</summary>
    public int RemoveAttribute(ReadOnlySpan<byte> name, ReadOnlySpan<byte> attribute, object? state, long token = 0)
    {
        Unsafe.SkipInit(out NulTerminated a);
        int errno = a.Set(attribute);
        if (errno != 0)
            return errno;
        errno = Begin(name, 0, state, token, out NulTerminated c, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion,
            Native.rados_aio_rmxattr(_handle, c.Pointer, completion.Handle, a.Pointer));
    }
}
