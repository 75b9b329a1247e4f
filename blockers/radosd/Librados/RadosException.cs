namespace Archipelago.Radosd.Librados;

/// <summary>A blocking call of librados failed. The data path never throws it: there, errnos are results.</summary>
public sealed class RadosException : IOException
{
    /// <summary>Names the errno, what failed and, where there is something to do, what.</summary>
    /// <param name="errno">Positive errno.</param>
    /// <param name="what">What was tried, and where.</param>
    /// <param name="advice">What to do about it, or null.</param>
    public RadosException(int errno, string what, string? advice = null)
        : base($"{what}: {RadosErrno.Name(errno)}" + (advice is null ? "" : $"; {advice}"))
        => Errno = errno;

    /// <summary>Positive errno.</summary>
    public int Errno { get; }

    internal static void Check(long code, string what, string? advice = null)
    {
        if (code < 0)
            throw new RadosException(RadosErrno.FromReturn(code), what, advice);
    }
}
