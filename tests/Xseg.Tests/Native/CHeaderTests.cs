using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Archipelago.Xseg.Layout;
using Xunit;

namespace Archipelago.Xseg.Tests.Native;

/// <summary>The C header says the same as the C# structures: each field's offset and size, and the hash.</summary>
[Collection(StartsProcesses.Name)]
public partial class CHeaderTests
{
    private static readonly (string Name, Type Type)[] Structures =
    [
        ("xseg_header", typeof(SegmentHeader)), ("xseg_port", typeof(PortEntry)), ("xseg_route", typeof(RouteEntry)), ("xseg_flow", typeof(FlowEntry)),
        ("xseg_object", typeof(ObjectEntry)), ("xseg_session", typeof(SessionEntry)), ("xseg_slot", typeof(RequestSlot)), ("xseg_page", typeof(PageEntry)),
    ];

    [Fact]
    public void EveryFieldHasTheSameOffsetAndSizeInCAndInCSharp()
    {
        var (code, output) = CProgram.Run(CProgram.Compile("layout"));
        Assert.Equal(0, code);
        var expected = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (name, type) in Structures)
        {
            expected.Add($"size {name} {Marshal.SizeOf(type)}");
            foreach (var field in type.GetFields(BindingFlags.Public | BindingFlags.Instance))
                expected.Add($"field {name}.{Snake(field.Name)} {Marshal.OffsetOf(type, field.Name)} {SizeOf(field)}");
        }

        Assert.Equal(expected, new SortedSet<string>(output.Split('\n', StringSplitOptions.RemoveEmptyEntries), StringComparer.Ordinal));
    }

    [Fact]
    public void BothHashNamesOfEveryLengthAlike()
    {
        var names = Enumerable.Range(1, 256).Select(length => new string((char)('a' + length % 26), length - 1) + "Z").ToArray();
        var (code, output) = CProgram.Run(CProgram.Compile("layout"), names);
        Assert.Equal(0, code);
        foreach (string name in names)
        {
            var hash = Hash128.Of(Encoding.ASCII.GetBytes(name));
            Assert.Contains($"hash {name} {hash.Low:x16} {hash.High:x16}\n", output);
        }
    }

    private static int SizeOf(FieldInfo field)
    {
        var buffer = field.GetCustomAttribute<FixedBufferAttribute>();
        return buffer == null ? Marshal.SizeOf(field.FieldType) : buffer.Length * Marshal.SizeOf(buffer.ElementType);
    }

    private static string Snake(string name) => name == "Namespace" ? "name_space" : Capital().Replace(name, "_$0").TrimStart('_').ToLowerInvariant();

    [GeneratedRegex("[A-Z]")]
    private static partial Regex Capital();
}
