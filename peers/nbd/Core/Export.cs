using System.Text;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Core;

/// <summary>A volume with clients. Opened for the first, closed after the last.</summary>
internal sealed class Export(byte[] name, bool readOnly)
{
    private readonly byte[] _name = name;

    internal string Name { get; } = Encoding.ASCII.GetString(name);
    internal ReadOnlySpan<byte> Target => _name;
    internal byte[] Key => _name;
    internal Hash128 Hash { get; } = Hash128.Of(name);
    internal bool IsReadOnly { get; } = readOnly;
    internal uint Flow { get; set; }
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
