namespace Archipelago.Runtime;

/// <summary>
/// A failure that carries an errno and a message for a person: what failed, where, and what to do. Thrown outside the data path
/// only (start, configuration, control plane); requests carry their errno as a status.
/// </summary>
public class ErrnoException : Exception
{
    /// <summary>A failure with its errno (positive) and its message.</summary>
    public ErrnoException(int errno, string message, Exception? inner = null)
        : base(message, inner)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(errno);
        Errno = errno;
    }

    /// <summary>The errno, positive; see <see cref="Runtime.Errno"/>.</summary>
    public int Errno { get; }

    /// <summary>The errno's symbol, for example <c>ENOENT</c>.</summary>
    public string Symbol => Runtime.Errno.Name(Errno);
}
