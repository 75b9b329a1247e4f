using System.Globalization;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Memd;

/// <summary>
/// An injected error: which requests fail, how often, and with what. A request that fails has no effect. As text
/// <c>OP:ERRNO[:SHARE|:xCOUNT]</c>, such as <c>write:EIO:0.01</c>, <c>read:ENOSPC:x3</c>, <c>any:EIO</c>.
/// </summary>
/// <param name="Op">The op, or null for all.</param>
/// <param name="Errno">What they fail with, 1 to 4,095.</param>
public sealed record MemdRule(XsegOp? Op, int Errno)
{
    /// <summary>Share of the requests that fail, 0 to 1.</summary>
    public double Probability { get; init; } = 1;
    /// <summary>Requests that fail before the rule is used up; 0 for no end.</summary>
    public long Count { get; init; }

    /// <summary>Reads a rule; throws EINVAL with what was expected.</summary>
    public static MemdRule Parse(string text)
    {
        string[] parts = text.Split(':', StringSplitOptions.TrimEntries);
        if (parts.Length is 2 or 3 && TryOp(parts[0], out var op) && TryErrno(parts[1], out int errno))
        {
            var rule = new MemdRule(op, errno);
            if (parts.Length == 2) return rule;
            if (parts[2].StartsWith('x') && long.TryParse(parts[2].AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out long count) && count > 0)
                return rule with { Count = count };
            if (double.TryParse(parts[2], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double share) && share is >= 0 and <= 1)
                return rule with { Probability = share };
        }

        throw new ErrnoException(Runtime.Errno.EINVAL, $"error rule \"{text}\": expected OP:ERRNO, OP:ERRNO:SHARE (0 to 1) or OP:ERRNO:xCOUNT, such as write:EIO:0.01");
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        string head = $"{(Op is { } op ? OpName(op) : "any")}:{Runtime.Errno.Name(Errno)}";
        return Count != 0 ? string.Create(CultureInfo.InvariantCulture, $"{head}:x{Count}")
            : string.Create(CultureInfo.InvariantCulture, $"{head}:{Probability}");
    }

    private static string OpName(XsegOp op) => op.ToString().ToLowerInvariant();

    private static bool TryOp(string text, out XsegOp? op)
    {
        op = null;
        if (text.Equals("any", StringComparison.OrdinalIgnoreCase)) return true;
        for (var known = XsegOp.Ping; known <= XsegOp.Prefetch; known++)
        {
            if (!OpName(known).Equals(text.Replace("_", ""), StringComparison.OrdinalIgnoreCase)) continue;
            op = known;
            return true;
        }

        return false;
    }

    private static bool TryErrno(string text, out int errno)
    {
        for (errno = 1; errno < 4096; errno++)
            if (Runtime.Errno.Name(errno).Equals(text, StringComparison.OrdinalIgnoreCase)) return true;
        return false;
    }
}
