using System.Numerics;
using System.Text;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd.Format;
using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// A volume that somebody uses or changes. The data path reads <see cref="IsReady"/>, <see cref="Size"/>, <see cref="Shift"/> and the map;
/// everything else changes under <see cref="Gate"/>. One reactor.
/// </summary>
internal sealed class Volume(string name, IReactor reactor, Segment segment)
{
    private readonly Completion<bool> _drained = new();
    private bool _draining;

    internal string Name { get; } = name;
    internal byte[] NameBytes { get; } = Encoding.ASCII.GetBytes(name);
    internal byte[] HeaderObject { get; } = VolumeName.HeaderObject(name);
    internal AsyncGate Gate { get; } = new(reactor);
    internal Openers Openers { get; } = new(segment);
    /// <summary>Operations that hold a reference; at 0 the volume may be forgotten.</summary>
    internal int Users { get; set; }

    /// <summary>Loaded, and not held: requests go through.</summary>
    internal bool IsReady { get; private set; }
    internal bool IsLoaded => Header != null;
    internal VolumeHeader? Header { get; private set; }
    internal IObjectMap Map { get; private set; } = null!;
    internal uint Flow { get; private set; }
    internal ulong Size { get; private set; }
    internal int Shift { get; private set; }
    internal ulong ObjectSize => 1ul << Shift;
    /// <summary>Data requests under way.</summary>
    internal int InFlight { get; private set; }

    /// <summary>The objects beyond the end have been dropped; only the header does not say so yet.</summary>
    internal bool IsTrimmed { get; set; }
    /// <summary>Asks the trim that runs to stop.</summary>
    internal bool StopTrim { get; set; }
    internal Task<int>? Trim { get; set; }
    internal bool TrimLoopRuns { get; set; }

    internal bool Matches(ReadOnlySpan<byte> target) => target.SequenceEqual(NameBytes);

    internal void Load(VolumeHeader header, uint flow, IObjectMap map)
    {
        (Flow, Map, Shift) = (flow, map, BitOperations.Log2((uint)header.ObjectSize));
        IsTrimmed = false;
        Update(header);
        IsReady = true;
    }

    internal void Update(VolumeHeader header) => (Header, Size) = (header, header.Size);

    internal void Unload()
    {
        (Header, IsReady, Size) = (null, false, 0);
        Map = null!;
    }

    internal void Begin() => InFlight++;

    internal void End()
    {
        if (--InFlight == 0 && _draining)
        {
            _draining = false;
            _drained.Set(true);
        }
    }

    /// <summary>Holds new requests (they queue at the gate, which the caller has) and waits for those under way.</summary>
    internal async ValueTask HoldAsync()
    {
        IsReady = false;
        if (InFlight == 0) return;
        _draining = true;
        await _drained.Task;
    }

    internal void Release() => IsReady = IsLoaded;
}
