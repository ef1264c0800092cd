-- Wireshark dissector for the DSR option of Geneve: class 0x014b, type 0x81, which carries the frontend that a client called.
--
--   tshark -X lua_script:dsr.lua -r worker.pcapng -Y geneve.dsr -T fields -e geneve.dsr.frontend
--
-- Wireshark loads it from its folder of personal Lua plugins (Help, About, Folders). Wireshark's own Geneve dissector has no table
-- for options, so this one comes after all others and reads the bytes that Geneve has marked as its options. The names of its fields
-- begin with geneve.dsr, since dsr alone is Wireshark's name for Dynamic Source Routing (RFC 4728).

local CLASS, TYPE = 0x014b, 0x81
local HEADER = 4 -- class, type, length in words of 4 bytes

local dsr = Proto("geneve.dsr", "Geneve DSR option")

local fields = {
	class = ProtoField.uint16("geneve.dsr.class", "Class", base.HEX),
	type = ProtoField.uint8("geneve.dsr.type", "Type", base.HEX),
	critical = ProtoField.bool("geneve.dsr.critical", "Critical", 8, nil, 0x80, "A receiver that does not know the option drops the packet"),
	reserved = ProtoField.uint8("geneve.dsr.reserved", "Reserved", base.HEX, nil, 0xe0),
	length = ProtoField.uint8("geneve.dsr.length", "Length of the data, in words of 4 bytes", base.DEC, nil, 0x1f),
	ipv4 = ProtoField.ipv4("geneve.dsr.ipv4", "Frontend's address"),
	ipv6 = ProtoField.ipv6("geneve.dsr.ipv6", "Frontend's address"),
	port = ProtoField.uint16("geneve.dsr.port", "Frontend's port", base.DEC),
	padding = ProtoField.uint16("geneve.dsr.padding", "Padding, zero", base.HEX),
	frontend = ProtoField.string("geneve.dsr.frontend", "Frontend"),
	data = ProtoField.bytes("geneve.dsr.data", "Data"),
	malformed = ProtoField.none("geneve.dsr.malformed", "Malformed"), -- to filter by any of the faults below
}
dsr.fields = fields

local function malformed(name, text)
	return ProtoExpert.new("geneve.dsr.malformed." .. name, text, expert.group.MALFORMED, expert.severity.ERROR)
end

-- A pod node drops a packet for each of these, with the reason "geneve", but for the missing C bit.
local experts = {
	length = malformed("length", "DSR option: the length fits neither IPv4 (2 words) nor IPv6 (5 words)"),
	reserved = malformed("reserved", "DSR option: reserved bits are set"),
	address = malformed("address", "DSR option: the frontend's address is zero"),
	port = malformed("port", "DSR option: the frontend's port is zero"),
	padding = malformed("padding", "DSR option: the padding is not zero"),
	twice = malformed("twice", "DSR option: it is there more than once"),
	overrun = malformed("overrun", "Geneve options: an option is longer than what is left of them"),
	flag = malformed("flag", "DSR option: Geneve's header lacks the C bit, which says that a critical option is present"),
}
dsr.experts = experts

-- fault notes what is wrong with an item of a tree.
local function fault(tree, item, name)
	item:add_proto_expert_info(experts[name])
	tree:add(fields.malformed):set_hidden()
end

local geneve_options = Field.new("geneve.options")
local geneve_critical = Field.new("geneve.flags.critical")

-- has_zeros reports whether all bytes of a range are zero.
local function has_zeros(range)
	for i = 0, range:len() - 1 do
		if range(i, 1):uint() ~= 0 then
			return false
		end
	end
	return true
end

-- frontend adds what the data of an option says, and returns the frontend as text.
local function frontend(tree, data)
	local size = data:len() - 4 -- of the address
	local address, port, padding = data(0, size), data(size, 2), data(size + 2, 2)
	local text
	if size == 4 then
		tree:add(fields.ipv4, address)
		text = tostring(address:ipv4())
	else
		tree:add(fields.ipv6, address)
		text = "[" .. tostring(address:ipv6()) .. "]"
	end
	text = text .. ":" .. port:uint()
	if has_zeros(address) then
		fault(tree, tree, "address")
	end
	local item = tree:add(fields.port, port)
	if port:uint() == 0 then
		fault(tree, item, "port")
	end
	item = tree:add(fields.padding, padding)
	if padding:uint() ~= 0 then
		fault(tree, item, "padding")
	end
	tree:add(fields.frontend, data, text):set_generated()
	return text
end

-- option adds one DSR option, whose bytes are all there, and returns the frontend as text; nil if there is none.
local function option(tree, bytes, count, critical)
	local branch = tree:add(dsr, bytes)
	branch:add(fields.class, bytes(0, 2))
	branch:add(fields.type, bytes(2, 1))
	branch:add(fields.critical, bytes(2, 1))
	local item = branch:add(fields.reserved, bytes(3, 1))
	if bytes(3, 1):bitfield(0, 3) ~= 0 then
		fault(branch, item, "reserved")
	end
	item = branch:add(fields.length, bytes(3, 1))
	if count > 1 then
		fault(branch, branch, "twice")
	end
	if not critical then
		fault(branch, branch, "flag")
	end
	local size = bytes:len() - HEADER
	if size ~= 8 and size ~= 20 then
		fault(branch, item, "length")
		if size > 0 then
			branch:add(fields.data, bytes(HEADER, size))
		end
		return nil
	end
	local text = frontend(branch, bytes(HEADER, size))
	branch:append_text(", frontend " .. text)
	return text
end

-- walk looks for DSR options among the options of one Geneve header.
local function walk(tree, options, critical)
	local offset, count, found = 0, 0, {}
	while offset < options:len() do
		local left = options:len() - offset
		local size = left >= HEADER and HEADER + 4 * options(offset + 3, 1):bitfield(3, 5) or HEADER
		if size > left then
			local item = tree:add(dsr, options(offset, left))
			fault(item, item, "overrun")
			break
		end
		if options(offset, 2):uint() == CLASS and options(offset + 2, 1):uint() == TYPE then
			count = count + 1
			found[#found + 1] = option(tree, options(offset, size), count, critical)
		end
		offset = offset + size
	end
	return found
end

function dsr.dissector(_, pinfo, tree)
	local critical = { geneve_critical() }
	for i, info in ipairs({ geneve_options() }) do
		local found = walk(tree, info.range, critical[i] ~= nil and critical[i].value)
		if #found > 0 then
			pinfo.cols.info:append(" [DSR " .. table.concat(found, ", ") .. "]")
		end
	end
end

register_postdissector(dsr)
