using System.Numerics;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg.Memory;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// A volume or snapshot that somebody uses. The data path reads <see cref="IsReady"/>, <see cref="Size"/>, <see cref="Shift"/> and the map;
/// everything else changes under <see cref="Gate"/>. One reactor.
/// </summary>
internal sealed class Volume(VolumeKey key, IReactor reactor, Segment segment)
{
    private readonly Completion<bool> _drained = new();
    private bool _draining;

    internal VolumeKey Key { get; } = key;
    internal string Name { get; } = key.Name.ToString();
    internal byte[] NameBytes { get; } = Encoding.ASCII.GetBytes(key.Name.ToString());
    internal AsyncGate Gate { get; } = new(reactor);
    internal Openers Openers { get; } = new(segment);
    /// <summary>Operations that hold a reference; at 0 the volume may be forgotten.</summary>
    internal int Users { get; set; }

    /// <summary>Loaded, and not held: requests go through.</summary>
    internal bool IsReady { get; private set; }
    internal bool IsLoaded { get; private set; }
    internal bool IsReadOnly => Key.IsReadOnly;
    /// <summary>A volume that is only read here, while another host, or this one, may be changing it: its map is out of date some time.</summary>
    internal bool IsView => Key.IsReadOnly && Key.Name.Snapshot == null;
    /// <summary>By the reactor's clock.</summary>
    internal long LoadedAt { get; private set; }
    /// <summary>Another host has it: changes wait until it is taken over.</summary>
    internal bool IsStandby { get; set; }
    internal IObjectMap Map { get; private set; } = null!;
    internal uint Flow { get; private set; }
    internal ulong Size { get; private set; }
    internal int Shift { get; private set; }
    internal ulong ObjectSize => 1ul << Shift;
    /// <summary>Data requests under way.</summary>
    internal int InFlight { get; private set; }

    internal bool Matches(ReadOnlySpan<byte> target) => target.SequenceEqual(NameBytes);

    internal void Load(OpenAnswer opened, IObjectMap map)
    {
        (Flow, Shift, Map) = (opened.Flow, BitOperations.Log2((uint)opened.ObjectSize), map);
        (IsLoaded, LoadedAt) = (true, reactor.Now);
        Update(opened, isKnown: false);
        IsReady = true;
    }

    /// <summary>Another size or own layer. No request is under way, or it is only larger.</summary>
    internal void Update(OpenAnswer now, bool isKnown)
    {
        Size = now.Size;
        Map.Change(MapGeometry.ObjectsFor(now.Size, now.ObjectSize), now.Layer, isKnown);
    }

    internal void Unload()
    {
        (IsLoaded, IsReady, IsStandby, Size) = (false, false, false, 0);
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
