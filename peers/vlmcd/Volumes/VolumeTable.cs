using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>The volumes in use: by name for control, by flow for the data path.</summary>
internal sealed class VolumeTable(IReactor reactor, Segment segment, int port, VlmcdStatistics statistics)
{
    private readonly Dictionary<VolumeKey, Volume> _byKey = [];
    private readonly Volume?[] _byFlow = new Volume?[segment.FlowCount];

    internal IEnumerable<Volume> All => _byKey.Values;

    internal Volume? ByFlow(uint flow) => flow < (uint)_byFlow.Length ? _byFlow[flow] : null;

    internal Volume? Find(VolumeKey key) => _byKey.GetValueOrDefault(key);

    /// <summary>The volume's entry, made if need be, which may not exist in the store. Give it back with <see cref="Leave"/>.</summary>
    internal async ValueTask<Volume> EnterAsync(VolumeKey key)
    {
        if (!_byKey.TryGetValue(key, out var volume)) _byKey.Add(key, volume = new Volume(key, reactor, segment));
        volume.Users++;
        await volume.Gate.EnterAsync();
        return volume;
    }

    internal void Leave(Volume volume)
    {
        volume.Gate.Exit();
        if (--volume.Users > 0 || volume.IsLoaded || volume.Openers.Total > 0) return;
        _byKey.Remove(volume.Key);
        // Others may have its flow's number from now on.
        FlowUse.Leave(segment, volume.Flow, port);
    }

    internal void Publish(Volume volume)
    {
        FlowUse.Join(segment, volume.Flow, port);
        _byFlow[volume.Flow] = volume;
        Count();
    }

    /// <summary>By an operation that has entered the volume.</summary>
    internal void Unload(Volume volume)
    {
        if (ReferenceEquals(_byFlow[volume.Flow], volume)) _byFlow[volume.Flow] = null;
        volume.Unload();
        Count();
    }

    private void Count() => statistics.Loaded = _byKey.Values.Count(volume => volume.IsLoaded);
}
