using Archipelago.Conformance.Tests.Behaviours;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Filed;
using Archipelago.Filed.Storage;
using Archipelago.Memd;

namespace Archipelago.Conformance.Tests.Blockers;

public sealed class MemdOverRings : BlockerConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new MemdPeer(new MemdOptions()));
}

public sealed class MemdByCall : BlockerConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new MemdPeer(new MemdOptions()), Placement.Call);
}

/// <summary>Every request takes the slow way, and writes go through the copies of a volatile store.</summary>
public sealed class MemdDelayedAndVolatile : BlockerConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new MemdPeer(new MemdOptions
    {
        Volatile = true,
        Latency = TimeSpan.FromMicroseconds(10),
        Concurrency = 1,
        Bandwidth = 4L << 30,
    }));
}

public abstract class FiledConformance : BlockerConformance
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("archipelago-filed-");

    /// <summary>Of this boot, with a pid that no process can have.</summary>
    protected override string DeadAddress { get; } = (FiledAddress.Next() with { Process = 1 << 22, Start = 1 }).ToString();

    protected FiledOptions Options => new() { Directory = _directory.FullName };

    public override void Dispose()
    {
        base.Dispose();
        _directory.Delete(recursive: true);
    }
}

public sealed class FiledOverRings : FiledConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new FiledPeer(Options));
}

public sealed class FiledByCall : FiledConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new FiledPeer(Options with { ReadAtOnce = false }), Placement.Call);
}

public sealed class FiledDirectOverRings : FiledConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new FiledPeer(Options with { Direct = true }));
}

public sealed class FiledSharedOverRings : FiledConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new FiledPeer(Options with { Shared = true }));
}

/// <summary>Few files open: they are closed, made stable and opened again all the time.</summary>
public sealed class FiledDirectByCallWithFewFiles : FiledConformance
{
    protected override BlockerHarness Start() => BlockerHarness.Start(() => new FiledPeer(Options with { Direct = true, OpenFiles = 2, Threads = 2 }), Placement.Call);
}
