using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

/// <summary>
/// What every blocker does, op by op. A subclass says how one is started; xunit makes an instance, and so a blocker, per test.
/// Names are distinct per test all the same, and nothing is expected of an object that a test has not made, so that a store that
/// outlives a test (RADOS) can be used.
/// </summary>
public abstract partial class BlockerConformance : IDisposable
{
    /// <summary>The most that an object holds.</summary>
    protected const ulong MaxObject = 4 << 20;
    private readonly string _prefix = Guid.NewGuid().ToString("N")[..12];
    private BlockerHarness? _harness;

    /// <summary>Starts the blocker.</summary>
    protected abstract BlockerHarness Start();

    /// <summary>The running blocker.</summary>
    protected BlockerHarness Blocker => _harness ??= Start();

    /// <summary>A name that no other test uses.</summary>
    protected string Name(string name) => $"{_prefix}.{name}";

    /// <summary>Bytes that differ at every place, without zeros.</summary>
    protected static byte[] Pattern(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        for (int i = 0; i < length; i++) bytes[i] |= 1;
        return bytes;
    }

    /// <inheritdoc/>
    public virtual void Dispose()
    {
        _harness?.Dispose();
        GC.SuppressFinalize(this);
    }
}
