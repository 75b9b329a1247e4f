using Archipelago.Runtime.Scheduling;

namespace Archipelago.Mapperd.Volumes;

/// <summary>The volumes in use, by name.</summary>
internal sealed class VolumeTable(IReactor reactor)
{
    private readonly Dictionary<string, Volume> _byName = new(StringComparer.Ordinal);

    internal IEnumerable<Volume> All => _byName.Values;

    internal Volume? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The volume's entry, made if need be, which may not exist in the store. Give it back with <see cref="Leave"/>.</summary>
    internal async ValueTask<Volume> EnterAsync(string name)
    {
        if (!_byName.TryGetValue(name, out var volume)) _byName.Add(name, volume = new Volume(name, reactor));
        volume.Users++;
        await volume.Gate.EnterAsync();
        return volume;
    }

    internal void Leave(Volume volume)
    {
        volume.Gate.Exit();
        if (--volume.Users == 0 && !volume.IsLocked) _byName.Remove(volume.Name);
    }
}
