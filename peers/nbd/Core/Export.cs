using Archipelago.Xseg;

namespace Archipelago.Nbd.Core;

/// <summary>A volume or snapshot with clients. Opened for the first, closed after the last.</summary>
/// <param name="name">As its clients name it.</param>
/// <param name="readOnly">Opened only for reading.</param>
internal sealed class Export(ExportName name, bool readOnly)
{
    private readonly byte[] _target = name.Target;

    internal string Name { get; } = name.Text;
    internal ReadOnlySpan<byte> Target => _target;
    internal byte[] Key => _target;
    internal Hash128 Hash { get; } = Hash128.Of(name.Target);
    /// <summary>What OPEN and CLOSE say.</summary>
    internal RequestFlags OpenFlags { get; } = readOnly ? RequestFlags.ReadOnly : RequestFlags.None;
    internal bool IsReadOnly { get; set; } = readOnly;
    internal uint Flow { get; set; }
    /// <summary>
    /// Bytes, as last heard of. It follows the volume: what goes beyond it is refused only after the volume was asked again, and what the volume refuses has it asked.
    /// </summary>
    internal ulong Size { get; set; }
    /// <summary>It is being asked after a request was refused.</summary>
    internal bool IsAsked { get; set; }
    /// <summary>Clients, those that wait for it to open included.</summary>
    internal int Users { get; set; }
    internal bool IsOpen { get; set; }
    /// <summary>
    /// Changes under way whose clients are lost. A client that comes back sends them again, and then newer ones: these must not be
    /// overtaken by what it does not know to be under way, so nothing further is read from any client of the export until it is 0. One whose deadline passes is in <see cref="Overdue"/> instead.
    /// </summary>
    internal int LostChanges { get; set; }
    /// <summary>Changes under way whose clients wait for them no longer: the deadline has passed.</summary>
    internal OverdueChanges Overdue { get; } = new();
    /// <summary>Requests whose deadline has passed since <see cref="ExpiryLog"/> said so last.</summary>
    internal int Untold { get; set; }
    /// <summary>The last thing that was begun (an OPEN or a CLOSE): the next waits for it.</summary>
    internal Task Last { get; set; } = Task.CompletedTask;
}
