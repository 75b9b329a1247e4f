namespace Archipelago.Runtime.Configuration;

/// <summary>A configuration that cannot be used, with all of its faults (EINVAL). The message has one line per fault.</summary>
public sealed class ConfigException : ErrnoException
{
    /// <summary>An exception for at least one fault.</summary>
    public ConfigException(IReadOnlyList<ConfigError> errors)
        : base(Runtime.Errno.EINVAL, string.Join('\n', errors))
    {
        ArgumentOutOfRangeException.ThrowIfZero(errors.Count);
        Errors = errors;
    }

    /// <summary>The faults, in the order in which they were found.</summary>
    public IReadOnlyList<ConfigError> Errors { get; }
}
